"""Write scenes as a COCO data set of two splits, with masks and with boxes alone."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from mmdet_discobox.utils.files import write_json
from mmdet_discobox.utils.types import Json

from .scene import Scene, SceneObject, render_scene
from .shapes import CLASSES, KEYPOINTS

# increment when equal settings give other files: existing data sets are then replaced
_VERSION = 3
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 92)
_INFO = "scenes_info.json"


def make_dataset(
    root: str | Path,
    *,
    num_train: int = 600,
    num_val: int = 100,
    image_size: int = 160,
    seed: int = 0,
) -> Path:
    """Write the data set unless it exists already.

    It consists of ``images/train/*.jpg``, ``images/val/*.jpg`` and three COCO jsons:
    ``train_boxes.json`` with boxes alone, ``train_full.json`` and ``val.json`` also with masks,
    areas and key points. Their ``file_name`` is relative to ``root``. ``scenes_info.json`` has the
    settings and is written last; if it is missing or differs, or a file is missing, the data set is
    written again.

    Args:
        root: folder; created if absent.
        num_train: number of training images. Image i is independent of the number.
        num_val: number of validation images, independent of the training images.
        image_size: side of the images in pixels, at least 64.
        seed: seed of all randomness; equal settings give equal files.

    Returns:
        ``root`` as a path.

    Raises:
        ValueError: if a split is empty, the images are too small or the seed is negative.
    """
    settings = dict(num_train=num_train, num_val=num_val, image_size=image_size, seed=seed)
    if min(num_train, num_val) < 1 or image_size < 64 or seed < 0:
        raise ValueError(
            "Expected at least one image per split, `image_size` >= 64 and `seed` >= 0, "
            f"but got {settings}."
        )
    root, settings = Path(root), {"version": _VERSION, **settings}
    if _is_complete(root, settings):
        return root
    (root / _INFO).unlink(missing_ok=True)
    train = _write_split(root, "train", num_train, image_size, [seed, 0])
    val = _write_split(root, "val", num_val, image_size, [seed, 1])
    boxes = [_without_masks(annotation) for annotation in train["annotations"]]
    write_json(root / "train_boxes.json", {**train, "annotations": boxes})
    write_json(root / "train_full.json", train)
    write_json(root / "val.json", val)
    write_json(root / _INFO, settings)
    return root


def _is_complete(root: Path, settings: dict[str, int]) -> bool:
    info = root / _INFO
    if not info.is_file() or info.read_text() != json.dumps(settings):
        return False
    names = ["train_boxes.json", "train_full.json", "val.json"]
    for split in ("train", "val"):
        names += [_image_name(split, index) for index in range(settings[f"num_{split}"])]
    return all((root / name).is_file() for name in names)


def _image_name(split: str, index: int) -> str:
    return f"images/{split}/{index:05d}.jpg"


def _write_split(root: Path, split: str, count: int, image_size: int, seed: list[int]) -> Json:
    (root / "images" / split).mkdir(parents=True, exist_ok=True)
    images: list[Json] = []
    annotations: list[Json] = []
    for index in range(count):
        name = _image_name(split, index)
        scene = render_scene(np.random.default_rng([*seed, index]), image_size)
        _write_image(root / name, scene)
        entry = {"id": index + 1, "file_name": name, "height": image_size, "width": image_size}
        images.append(entry)
        for item in scene.objects:
            ids = {"id": len(annotations) + 1, "image_id": entry["id"]}
            annotations.append({**ids, **_annotation(item)})
    return {"images": images, "annotations": annotations, "categories": _categories()}


def _categories() -> list[Json]:
    return [
        {"id": index + 1, "name": name, "keypoints": list(KEYPOINTS[name]), "skeleton": []}
        for index, name in enumerate(CLASSES)
    ]


def _annotation(item: SceneObject) -> Json:
    x1, y1, x2, y2 = item.box.tolist()
    code = mask_utils.encode(np.asfortranarray(item.mask.astype(np.uint8)))
    return {
        "category_id": item.label + 1,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "iscrowd": 0,
        "area": int(item.mask.sum()),
        "segmentation": {"size": code["size"], "counts": code["counts"].decode("ascii")},
        "keypoints": item.keypoints.round(2).ravel().tolist(),
        "num_keypoints": int((item.keypoints[:, 2] > 0).sum()),
    }


def _without_masks(annotation: Json) -> Json:
    return {key: annotation[key] for key in ("id", "image_id", "category_id", "bbox", "iscrowd")}


def _write_image(path: Path, scene: Scene) -> None:
    done, code = cv2.imencode(".jpg", scene.image[..., ::-1], _JPEG)
    if not done:
        raise OSError(f"OpenCV could not encode '{path}' as JPEG.")
    path.write_bytes(code.tobytes())
