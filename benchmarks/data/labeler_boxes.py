"""Gather the boxes that the shipped labeller is trained on: COCO's pictures in one json.

    python benchmarks/data/labeler_boxes.py $DISCOBOX_DATA OUT_JSON [--licenses 4 5 7 8] \
        [--part I N]

Boxes of `coco_mini` (80 classes) and of the training images of `persons`; masks are not read. With
--licenses, only pictures under these COCO licence ids: 4 (CC BY), 5 (CC BY-SA), 7 (no known
copyright restrictions) and 8 (United States government work) permit reuse. --part keeps every N-th
image of `coco_mini` alone, from the I-th, to test on the others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from mmdet_discobox.utils.command_line import run
from mmdet_discobox.utils.files import write_json
from mmdet_discobox.utils.types import Json

#: json of the boxes and folder of the images, by data set
SOURCES = {
    "coco_mini": ("coco_mini/boxes.json", "coco_mini/images"),
    "persons": ("persons/train_boxes.json", "persons/images"),
}


def gather(root: Path, sources: Sequence[str], licenses: Sequence[int] | None) -> Json:
    """Merge the boxes of several COCO jsons; classes are those of their names.

    Args:
        root: folder of the data sets.
        sources: names of the data sets.
        licenses: licence ids of the images to keep; None keeps all.
    """
    names: dict[str, int] = {}
    merged: Json = dict(images=[], annotations=[], categories=[])
    for source in sources:
        file, folder = SOURCES[source]
        dataset = json.loads((root / file).read_bytes())
        own = {c["id"]: names.setdefault(c["name"], len(names) + 1) for c in dataset["categories"]}
        ids = {}
        for image in dataset["images"]:
            if licenses is None or image["license"] in licenses:
                ids[image["id"]] = len(merged["images"]) + 1
                path = f"{folder}/{image['file_name']}"
                record = {**image, "id": ids[image["id"]], "file_name": path}
                merged["images"].append(record)
        for a in dataset["annotations"]:
            if a["image_id"] in ids:
                merged["annotations"].append(
                    dict(
                        id=len(merged["annotations"]) + 1,
                        image_id=ids[a["image_id"]],
                        category_id=own[a["category_id"]],
                        bbox=a["bbox"],
                        iscrowd=a.get("iscrowd", 0),
                    )
                )
    merged["categories"] = [dict(id=number, name=name) for name, number in names.items()]
    return merged


def keep_part(dataset: Json, index: int, parts: int) -> Json:
    """Keep every ``parts``-th image, from the ``index``-th (from 1), and its boxes."""
    images = dataset["images"][index - 1 :: parts]
    ids = {image["id"] for image in images}
    annotations = [a for a in dataset["annotations"] if a["image_id"] in ids]
    return {**dataset, "images": images, "annotations": annotations}


def main(argv: Sequence[str] | None = None) -> None:
    """Write the json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, metavar="DISCOBOX_DATA")
    parser.add_argument("out", type=Path, metavar="OUT_JSON")
    parser.add_argument("--licenses", type=int, nargs="+", metavar="ID")
    parser.add_argument("--part", type=int, nargs=2, metavar=("I", "N"))
    args = parser.parse_args(argv)
    sources = ["coco_mini"] if args.part else list(SOURCES)
    dataset = gather(args.root, sources, args.licenses)
    if args.part:
        dataset = keep_part(dataset, *args.part)
    write_json(args.out, dataset)
    crowds = sum(a["iscrowd"] for a in dataset["annotations"])
    print(f"{len(dataset['images'])} images, {len(dataset['annotations']) - crowds} boxes")


if __name__ == "__main__":
    run(main)
