"""Makes the contents of `persons`, `coco_mini` and `animals` from official COCO 2017 records.

`ids.json` names the images and annotations, in their order. The rules:

- **persons** (val2017): one annotated person per image, under its official ids. The long side is at
  most 512 px. With the official size w, h and the rounded new size w', h', x is multiplied by w'/w,
  y by h'/h, and the area by both.
- **coco_mini** (train2017): all annotations of each image, crowds included, at the official size.
  Annotation ids are new: consecutive within an image, in the order of the official json. The run
  lengths of crowds are compressed.
- **animals**: `val_masks.json` has the objects of five classes, without crowds, of images that lie
  in `coco_mini/images`.

The rules were derived from existing folders, without the official files. Not verified against them:
the order of the objects within an image of `coco_mini`, on which their new ids depend, and the last
decimal of scaled coordinates.
"""

from __future__ import annotations

from typing import NamedTuple

from coco_files import CocoSplit, Json, Size, name_ids
from records import image_record, mask_record, official_size, shrink, without_masks

ANIMALS = ("dog", "cat", "sheep", "horse", "cow")  # category ids 1 to 5


class Subset(NamedTuple):
    """Content of a folder.

    Attributes:
        split: Official records of its images.
        sizes: height and width of each image to write into `images/`, by image id.
        jsons: content of each json, by file name.
    """

    split: CocoSplit
    sizes: dict[int, Size]
    jsons: dict[str, Json]


def make_persons(split: CocoSplit, ids: Json) -> Subset:
    """Make the jsons of `persons`: boxes and masks to train on, masks to evaluate.

    Args:
        split: Official records of val2017.
        ids: entry "persons" of `ids.json`.

    Raises:
        ValueError: if the official json lacks an annotation.
    """
    source_sizes = {i: official_size(image) for i, image in split.images.items()}
    sizes = {i: shrink(size) for i, size in source_sizes.items()}
    parts = {}
    for part in ("train", "val"):
        annotations = [
            mask_record(a, source_size=source_sizes[a["image_id"]], size=sizes[a["image_id"]])
            for a in _annotations_by_id(split, ids[part]["annotations"])
        ]
        parts[part] = {
            "images": [image_record(split.images[i], sizes[i]) for i in ids[part]["images"]],
            "annotations": annotations,
            "categories": [c for c in split.categories if c["name"] == "person"],
        }
    jsons = {
        "train_boxes.json": without_masks(parts["train"]),
        "train_masks.json": parts["train"],
        "val.json": parts["val"],
    }
    return Subset(split, sizes, jsons)


def make_coco_mini(split: CocoSplit, ids: Json) -> Subset:
    """Make the jsons of `coco_mini`, with masks and with boxes alone.

    Args:
        split: Official records of train2017.
        ids: entry "coco_mini" of `ids.json`.

    Raises:
        ValueError: if an image has another number of annotations than `ids.json` states.
    """
    counts = dict(zip(ids["images"], ids["annotation_counts"], strict=True))
    different = [i for i, count in counts.items() if len(split.annotations[i]) != count]
    if different:
        raise ValueError(
            f"Expected '{split.json_path}' to have as many annotations of each image as ids.json "
            f"states, but got another number for the images {name_ids(different)}. Use the json "
            "of COCO 2017 as published."
        )
    sizes = {image_id: official_size(split.images[image_id]) for image_id in ids["images"]}
    annotations = [
        mask_record({**annotation, "id": new_id}, source_size=sizes[i], size=sizes[i])
        for i, first in zip(ids["images"], ids["first_annotation_ids"], strict=True)
        for new_id, annotation in enumerate(split.annotations[i], start=first)
    ]
    content = {
        "images": [image_record(split.images[i], size) for i, size in sizes.items()],
        "annotations": annotations,
        "categories": split.categories,
    }
    return Subset(split, sizes, {"boxes.json": without_masks(content), "instances.json": content})


def make_animals(coco_mini: Subset, ids: Json) -> Subset:
    """Make `val_masks.json` of `animals` from the content of `coco_mini`.

    Args:
        coco_mini: content of `coco_mini`.
        ids: entry "animals" of `ids.json`.
    """
    source, wanted = coco_mini.jsons["instances.json"], frozenset(ids["val_masks"])
    new_ids = {name: index for index, name in enumerate(ANIMALS, start=1)}
    official = {c["id"]: new_ids[c["name"]] for c in source["categories"] if c["name"] in new_ids}
    content = {
        "images": [image for image in source["images"] if image["id"] in wanted],
        "categories": [
            {"id": index, "name": name, "supercategory": "animal"}
            for name, index in new_ids.items()
        ],
        "annotations": [
            {**a, "category_id": official[a["category_id"]]}
            for a in source["annotations"]
            if a["image_id"] in wanted and a["category_id"] in official and not a["iscrowd"]
        ],
    }
    return Subset(coco_mini.split, {}, {"val_masks.json": content})


def _annotations_by_id(split: CocoSplit, wanted: list[int]) -> list[Json]:
    known = {a["id"]: a for annotations in split.annotations.values() for a in annotations}
    missing = [annotation_id for annotation_id in wanted if annotation_id not in known]
    if missing:
        raise ValueError(
            f"Expected '{split.json_path}' to have the annotations {name_ids(missing)}, but it "
            "does not. Use the json of COCO 2017 as published."
        )
    return [known[annotation_id] for annotation_id in wanted]
