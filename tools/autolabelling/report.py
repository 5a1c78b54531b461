"""Page for reviewing masks: a self-contained html file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from mmdet_discobox.annotation_files.coco_values import is_number
from mmdet_discobox.labelling.labelled_boxes import has_mask, is_accepted
from mmdet_discobox.labelling.mask_encoding import mask_digest
from mmdet_discobox.labelling.review.review_order import proposed_order
from mmdet_discobox.utils.files import write_bytes
from mmdet_discobox.utils.types import Json

from .report_items import COLOURS, ReportItem, crop_with_overlay, report_items

_TEMPLATE = Path(__file__).with_suffix(".html")


@dataclass(frozen=True)
class Report:
    """A page that was written.

    Attributes:
        path: path of the page.
        shown: number of masks on it.
        left_out: number of masks of higher quality, for which ``limit`` leaves no room.
        unread: reasons why images cannot be read, whose masks are not on it.
        empty: reason why there are no masks on it, if there are none.
    """

    path: Path
    shown: int
    left_out: int
    unread: list[str]
    empty: str


def write_report(folder: Path, dataset: Json, image_dir: Path, *, title: str, limit: int) -> Report:
    """Write the page of a labelled data set.

    Masks of images that cannot be read are not on it, and are not exported as left out.

    Args:
        folder: folder of the page, created if absent.
        dataset: result of ``add_masks``.
        image_dir: folder of its images.
        title: title of the page.
        limit: largest number of masks on it; the best are left out.

    Raises:
        ValueError: if the folder cannot be written.
    """
    accepted = sum(map(is_accepted, dataset["annotations"]))
    rated = [a for a in dataset["annotations"] if is_rated(a) and not is_accepted(a)]
    rated.sort(key=lambda a: a["mask_quality"])
    sizes = {i["id"]: dict(height=i["height"], width=i["width"]) for i in dataset["images"]}
    left_out = {
        a["id"]: mask_digest(a["segmentation"], **sizes[a["image_id"]]) for a in rated[limit:]
    }
    path = check_report_folder(folder)
    unread: list[str] = []
    items = report_items(dataset, rated[:limit], image_dir, on_unread=unread.append)
    empty = _why_empty(len(rated), accepted)
    shown = write_label_report(
        path, items, title=title, left_out=left_out, accepted=accepted, empty=empty
    )
    return Report(path, shown, len(left_out), unread, empty)


def _why_empty(rated: int, accepted: int) -> str:
    """Return why a page is empty, if it is."""
    if rated:
        return "no image of theirs can be read"
    if accepted:
        return f"{accepted} masks are a person's already, and no others have a `mask_quality`"
    return "no mask has a `mask_quality`, as those of this command do"


def is_rated(annotation: Json) -> bool:
    """Return whether an annotation has a mask of the labeller with its quality."""
    return has_mask(annotation) and is_number(annotation.get("mask_quality"))


def check_report_folder(folder: Path) -> Path:
    """Create the folder of a page, and return the path of the page.

    Raises:
        ValueError: if the page cannot be written there.
    """
    path = folder / "index.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"Expected --report to be a folder that can be written, but '{folder}' is not: "
            f"{error.strerror}."
        ) from error
    if path.is_dir():
        raise ValueError(f"Expected to write the page of --report, but '{path}' is a folder.")
    return path


def check_report_place(folder: Path, out: Path) -> None:
    """Check that the page of --report and OUT_JSON do not replace each other.

    Raises:
        ValueError: if the folder of the page is OUT_JSON or in it, or OUT_JSON is the page.
    """
    page, result = folder.resolve(), out.resolve()
    if result in (page, *page.parents, page / "index.html"):
        raise ValueError(
            f"Expected --report outside OUT_JSON, but got '{folder}' and '{out}'. Name another "
            "folder for the page."
        )


def write_label_report(
    path: str | Path,
    items: Iterable[ReportItem],
    *,
    title: str,
    left_out: Mapping[int | str, str] = MappingProxyType({}),
    accepted: int = 0,
    empty: str = "",
) -> int:
    """Write the page: the proposed masks first, sortable, filterable, with keyboard shortcuts.

    The page proposes to look at the masks of lowest quality first, of all classes in turn.

    The browser stores the decisions, and the page exports them as json. The store is specific to
    the masks: new masks of the same boxes start without decisions. To the page, an id is the text
    of its json: a browser would round numbers above 2^53.

    Args:
        path: the html file to write; its folder must exist.
        items: the masks.
        title: title of the page, usually the name of the data set.
        left_out: digests of masks that are not shown, by their ids; the page reports their number
            and exports them.
        accepted: number of masks accepted in earlier rounds, which are not shown.
        empty: reason why there are no masks, which a page without any tells.

    Returns:
        Number of masks on the page.
    """
    rows = list(_rows(items))
    others = [(json.dumps(value), digest) for value, digest in left_out.items()]
    key = _key(title, rows)
    order = proposed_order([row["name"] for row in rows], [row["quality"] for row in rows])
    for turn, index in enumerate(order):
        rows[index]["turn"] = turn
    data = dict(title=title, key=key, leftOut=others, items=rows, earlier=accepted, empty=empty)
    # escape "<": a name in the data could otherwise close the script element
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    page = _TEMPLATE.read_text(encoding="utf-8")
    page = page.replace("{{title}}", html.escape(title)).replace("{{data}}", text)
    write_bytes(Path(path), page.encode("utf-8", errors="replace"))
    return len(rows)


def _key(title: str, rows: list[dict[str, Any]]) -> str:
    """Hash the masks, to store the decisions about them under a key of their own."""
    hashed = [{name: row[name] for name in row if name != "image"} for row in rows]
    return hashlib.sha256(json.dumps([title, hashed]).encode()).hexdigest()[:16]


def _rows(items: Iterable[ReportItem]) -> Iterator[dict[str, Any]]:
    for item in items:
        image, overlay = crop_with_overlay(item)
        yield dict(
            id=json.dumps(item.ann_id),
            name=item.class_name,
            quality=round(item.quality, 3),
            file=item.file_name,
            digest=item.digest,
            image=_jpeg(image),
            overlay=_png(overlay),
        )


def _jpeg(pixels: np.ndarray) -> str:
    """Encode ``(h, w, 3)`` BGR, with the colours of each pixel: small crops are enlarged."""
    image = Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]))
    return _data_uri(image, "JPEG", quality=85, subsampling="4:4:4")


def _png(indices: np.ndarray) -> str:
    """Encode an overlay ``(h, w)`` of indices of ``COLOURS``."""
    image = Image.fromarray(indices)
    image.putpalette([value for colour in COLOURS for value in colour], "RGBA")
    return _data_uri(image, "PNG", optimize=True)


def _data_uri(image: Image.Image, form: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    content = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{form.lower()};base64,{content}"
