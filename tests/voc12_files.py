"""VOC 2012 and SBD in the structure of their downloads, with a handful of tiny images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csc_matrix

SIZE = (6, 9)  # height, width
#: images that VOC and SBD have alone, that both have, and those of VOC's val
VOC_ALONE, SBD_TRAIN, SBD_VAL, BOTH = "2007_000032", "2008_000002", "2008_000003", "2008_000008"
VAL, VAL_IN_SBD = "2007_000033", "2008_000009"


def write_png(path: Path, indices: np.ndarray) -> None:
    image = Image.fromarray(indices, mode="P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    image.save(path)


def write_jpeg(voc: Path, name: str, size: tuple[int, int] = SIZE) -> None:
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(voc / "JPEGImages" / f"{name}.jpg")


def write_voc_masks(voc: Path, name: str, objects: np.ndarray, classes: np.ndarray) -> None:
    write_png(voc / "SegmentationObject" / f"{name}.png", objects)
    write_png(voc / "SegmentationClass" / f"{name}.png", classes)


def write_sbd_masks(sbd: Path, name: str, indices: np.ndarray, categories: list[int]) -> None:
    """A struct of one element, as Matlab saves it, with its cell of sparse boundaries."""
    boundaries = np.empty((len(categories), 1), object)
    for index in range(len(categories)):
        boundaries[index, 0] = csc_matrix((indices == index + 1).astype(float))
    record = {
        "Segmentation": indices,
        "Boundaries": boundaries,
        "Categories": np.array(categories, np.uint8).reshape(-1, 1),
    }
    savemat(sbd / "inst" / f"{name}.mat", {"GTinst": record}, do_compression=True)


def voc_indices() -> tuple[np.ndarray, np.ndarray]:
    """A bird (class 3) of two by two pixels, a border of void, and a dog (class 12)."""
    objects, classes = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    objects[1:5, 0:4], classes[1:5, 0:4] = 255, 255
    objects[2:4, 1:3], classes[2:4, 1:3] = 1, 3
    objects[0:6, 5:9], classes[0:6, 5:9] = 2, 12
    return objects, classes


def sbd_indices() -> np.ndarray:
    """Two persons (class 15) side by side, a third that has no pixel, and a void pixel."""
    indices = np.zeros(SIZE, np.uint8)
    indices[1:3, 1:4], indices[1:3, 4:9] = 1, 2
    indices[5, 8] = 255
    return indices


def write_sets(root: Path) -> tuple[Path, Path]:
    """Write both sets below ``root`` and return their folders."""
    voc, sbd = root / "VOCdevkit" / "VOC2012", root / "benchmark_RELEASE" / "dataset"
    lists = voc / "ImageSets" / "Segmentation"
    for folder in ("JPEGImages", "SegmentationObject", "SegmentationClass"):
        (voc / folder).mkdir(parents=True)
    lists.mkdir(parents=True)
    (sbd / "inst").mkdir(parents=True)
    (lists / "train.txt").write_text(f"{VOC_ALONE}\n{BOTH}\n")
    (lists / "val.txt").write_text(f"{VAL}\n{VAL_IN_SBD}\n")
    (sbd / "train.txt").write_text(f"{SBD_TRAIN}\n{VAL_IN_SBD}\n")
    (sbd / "val.txt").write_text(f"{SBD_VAL}\n{BOTH}\n")
    for name in (VOC_ALONE, BOTH, VAL, VAL_IN_SBD):
        write_voc_masks(voc, name, *voc_indices())
    for name in (SBD_TRAIN, SBD_VAL, BOTH, VAL_IN_SBD):
        write_sbd_masks(sbd, name, sbd_indices(), [15, 15, 7])
    for name in (VOC_ALONE, SBD_TRAIN, SBD_VAL, BOTH, VAL, VAL_IN_SBD):
        write_jpeg(voc, name)
    return voc, sbd
