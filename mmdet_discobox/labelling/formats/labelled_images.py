"""Images of a labelled data set, as the formats with a file per image need them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from mmdet_discobox.annotation_files.coco_values import quote
from mmdet_discobox.labelling.labelled_boxes import has_mask, has_own_mask
from mmdet_discobox.utils.rle import to_rle
from mmdet_discobox.utils.types import Json


@dataclass(frozen=True)
class LabelledImage:
    """An image with its masks.

    Attributes:
        file_name: path of the image in the folder of images.
        size: ``(height, width)`` in pixels.
        objects: annotations of the objects with a mask, in the order of the json.
        ignored: annotations with a mask that marks no object: crowds, and ``ignore``.
    """

    file_name: str
    size: tuple[int, int]
    objects: list[Json]
    ignored: list[Json]

    def rle(self, annotation: Json) -> dict[str, Any]:
        """Return the mask of an annotation as compressed run lengths."""
        return to_rle(annotation["segmentation"], height=self.size[0], width=self.size[1])


def labelled_images(dataset: Json) -> list[LabelledImage]:
    """Collect the images, without those whose boxes all failed.

    Without its masks, an image would teach that its objects are background.

    Args:
        dataset: a COCO json with masks, see :func:`add_masks`.
    """
    annotations: dict[Any, list[Json]] = defaultdict(list)
    for annotation in dataset["annotations"]:
        annotations[annotation["image_id"]].append(annotation)
    images = []
    for image in dataset["images"]:
        masks = [a for a in annotations[image["id"]] if has_mask(a)]
        if masks or not annotations[image["id"]]:
            size = (int(image["height"]), int(image["width"]))
            objects = [a for a in masks if not is_ignored(a)]
            ignored = [a for a in masks if is_ignored(a)]
            images.append(LabelledImage(image["file_name"], size, objects, ignored))
    return images


def count_unmasked(dataset: Json) -> int:
    """Return the number of boxes without a mask in images that have one."""
    written = {a["image_id"] for a in dataset["annotations"] if has_mask(a)}
    return sum(a["image_id"] in written and not has_mask(a) for a in dataset["annotations"])


def is_ignored(annotation: Json) -> bool:
    """Return whether the mask of an annotation marks a region to ignore instead of an object."""
    return has_own_mask(annotation) or bool(annotation.get("ignore"))


def relative_path(file_name: str) -> PurePath:
    """Return the path of an image below a folder of the output, with its sub-folders.

    Absolute paths lose their root, and ``..`` is dropped, so that nothing is written elsewhere.
    """
    path = PurePath(file_name)
    return PurePath(*(part for part in path.parts if part not in (path.anchor, "..")))


def check_file_names(
    dataset: Json, path_of: Callable[[str], PurePath], *, file_format: str, suffix: str
) -> None:
    """Check that no two images are written to the same file, and that their list can be read.

    Args:
        dataset: a COCO json.
        path_of: returns the path of a ``file_name`` in the output.
        file_format: name of the format, for the error.
        suffix: suffix of the file that replaces the one of the image.

    Raises:
        ValueError: with the first two images that share a file, or the first with a line break.
    """
    file_names = (image["file_name"] for image in dataset["images"])
    check_lines(file_names, "image", file_format=file_format)
    names: dict[PurePath, str] = {}
    for image in dataset["images"]:
        path = path_of(image["file_name"]).with_suffix(suffix)
        if path in names:
            raise ValueError(
                f"Expected a file of its own for each image with --format {file_format}, but "
                f"'{names[path]}' and '{image['file_name']}' would both have '{path}'. Rename one "
                "of them in the folder and in the boxes, or use --format coco."
            )
        names[path] = image["file_name"]


def check_lines(names: Iterable[str], kind: str, *, file_format: str) -> None:
    """Check that each name fits in a line of a list.

    Args:
        names: names of images or classes.
        kind: what they name, for the error.
        file_format: name of the format, for the error.

    Raises:
        ValueError: with the first name that has a line break.
    """
    for name in names:
        if name and name.splitlines() != [name]:
            raise ValueError(
                f"Expected names without a line break for --format {file_format}, which lists one "
                f"in a line, but got the {kind} {quote(name)}. Rename it, or use --format coco."
            )


def count(number: int, noun: str) -> str:
    """Return a number with its noun, which takes an s in the plural."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
