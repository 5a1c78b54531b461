"""VOC 2012 with the additional training images of SBD, as COCO json.

``train_aug`` has the images of VOC 2012's segmentation ``train`` and of SBD's ``train`` and ``val``
together, without those of VOC 2012's segmentation ``val``: 10,582 images. ``val`` is that ``val``:
1,449 images. An image that both sets have is taken once, with the masks of VOC, which are the finer
ones and leave the uncertain border void; SBD has drawn the same objects anew, and at times others.
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

# To be raised whenever the same image gives another record.
_VERSION = 1

Track = Callable[[Sequence[str]], Iterable[str]]


class Split(NamedTuple):
    """What was written of a split.

    Attributes:
        images: Number of images.
        objects: Number of objects.
        excluded: Number of images left out.
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
    have nothing that is not known from the boxes, their ``area`` is that of the box. Boxes are
    tight around the masks. ``file_name`` is relative to ``JPEGImages`` of VOC 2012, which has the
    images of SBD, too. Image ids are the digits of the names, and do not depend on what is left
    out.

    Nothing is ever half-written. A call that was cut short is taken up where it ended, by a file
    ``voc12_sbd.journal`` in ``out``, which the last step removes.

    Args:
        voc: Folder ``VOCdevkit/VOC2012``.
        sbd: Folder ``benchmark_RELEASE/dataset``.
        out: Folder to write into, made if needed.
        exclude: Names of images to leave out of ``train_aug``, such as ``2008_000008``. Names that
            it does not have change nothing.
        track: Wraps the names of the images while they are read, for a progress bar.

    Returns:
        What was written of "train_aug" and "val".

    Raises:
        FileNotFoundError: If something of the sets is missing; nothing is read or written then.
        ValueError: If a file is broken, or does not fit its image.
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
