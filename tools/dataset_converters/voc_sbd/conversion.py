"""Convert VOC 2012 with the additional training images of SBD to COCO json.

``val`` is VOC 2012's segmentation ``val``, 1,449 images. ``train_aug`` is the union of VOC 2012's
segmentation ``train`` and of SBD's ``train`` and ``val`` without it, 10,582 images. Images of both
sets get the masks of VOC, which are finer and leave uncertain borders void; SBD annotated the same
images independently, sometimes with other objects.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from mmdet_discobox.utils.files import write_json
from mmdet_discobox.utils.journal import Journal
from mmdet_discobox.utils.paths import require_paths
from mmdet_discobox.utils.types import Json
from mmdet_discobox.utils.voc import VOC_CLASSES

from .instances import Instances, coco_annotations
from .sbd import SOURCE as SBD_SOURCE
from .sbd import read_sbd_instances, read_sbd_names, require_sbd_files
from .voc12 import SOURCE as VOC_SOURCE
from .voc12 import read_image_size, read_voc_instances, read_voc_names, require_voc_files

# increment when the records of the same images change
_VERSION = 1

Track = Callable[[Sequence[str]], Iterable[str]]


class Split(NamedTuple):
    """The size of a converted split.

    Attributes:
        images: number of images.
        objects: number of objects.
        excluded: number of excluded images.
    """

    images: int
    objects: int
    excluded: int


def convert_voc12_sbd(
    voc: Path,
    sbd: Path,
    out: Path,
    *,
    exclude: Collection[str] = (),
    track: Track = iter,
) -> dict[str, Split]:
    """Write ``train_aug`` and ``val``, each with masks and with boxes alone.

    ``train_aug.json`` and ``val.json`` have masks; ``train_aug_boxes.json`` and ``val_boxes.json``
    have boxes alone, and their ``area`` is the area of the box. Boxes are tight around the masks.
    ``file_name`` is relative to ``JPEGImages`` of VOC 2012, which includes the images of SBD. Image
    ids are the digits of the names, independent of the excluded images.

    Files are written atomically. A killed conversion resumes from the journal
    ``voc12_sbd.journal`` in ``out``, which is removed at the end.

    Args:
        voc: folder ``VOCdevkit/VOC2012``.
        sbd: folder ``benchmark_RELEASE/dataset``.
        out: folder to write; created if absent.
        exclude: names of images to exclude from ``train_aug``, such as ``2008_000008``; unknown
            names are ignored.
        track: wraps the names of the images for a progress bar.

    Returns:
        The sizes of "train_aug" and "val".

    Raises:
        FileNotFoundError: if a file of the sets is missing; nothing is written.
        ValueError: if a file is invalid, or does not fit its image.
    """
    require_paths([voc], source=VOC_SOURCE)
    require_paths([sbd], source=SBD_SOURCE)
    val, from_voc = read_voc_names(voc, "val"), read_voc_names(voc, "train")
    candidates = (from_voc | read_sbd_names(sbd)) - val
    train = candidates - set(exclude)
    require_voc_files(voc, images=train | val, masks=(train & from_voc) | val)
    require_sbd_files(sbd, masks=train - from_voc)

    out.mkdir(parents=True, exist_ok=True)
    settings = {"version": _VERSION, "voc": str(voc.resolve()), "sbd": str(sbd.resolve())}
    with closing(Journal(out / "voc12_sbd.journal", settings)) as journal:
        for name in track(sorted((train | val) - journal.done.keys())):
            in_voc = name in from_voc or name in val
            instances = read_voc_instances(voc, name) if in_voc else read_sbd_instances(sbd, name)
            journal.add(name, _record(voc, name, instances))
    splits = {
        "train_aug": _write(out, "train_aug", train, journal.done, candidates - train),
        "val": _write(out, "val", val, journal.done, set()),
    }
    journal.path.unlink()
    return splits


def _record(voc: Path, name: str, instances: Instances) -> Json:
    size = read_image_size(voc, name)
    if instances.indices.shape != size:
        raise ValueError(
            f"Expected the masks of image {name} to have its size, (height, width) {size}, but "
            f"they have {instances.indices.shape}. Use the sets as downloaded, not resized."
        )
    return {"height": size[0], "width": size[1], "annotations": coco_annotations(instances)}


def _write(out: Path, split: str, names: set[str], records: Json, excluded: set[str]) -> Split:
    images: list[Json] = []
    annotations: list[Json] = []
    for name in sorted(names):
        record, image_id = records[name], int(name.replace("_", ""))
        size = {"height": record["height"], "width": record["width"]}
        images.append({"id": image_id, "file_name": f"{name}.jpg", **size})
        for annotation in record["annotations"]:
            ids = {"id": len(annotations) + 1, "image_id": image_id}
            annotations.append({**ids, **annotation})
    content = {
        "info": {"description": f"VOC12 {split}", "excluded": sorted(excluded)},
        "images": images,
        "categories": [{"id": index + 1, "name": name} for index, name in enumerate(VOC_CLASSES)],
    }
    write_json(out / f"{split}.json", {**content, "annotations": annotations})
    boxes = [_without_mask(annotation) for annotation in annotations]
    write_json(out / f"{split}_boxes.json", {**content, "annotations": boxes})
    return Split(len(images), len(annotations), len(excluded))


def _without_mask(annotation: Json) -> Json:
    kept = {key: annotation[key] for key in ("id", "image_id", "category_id", "bbox", "iscrowd")}
    return {**kept, "area": annotation["bbox"][2] * annotation["bbox"][3]}
