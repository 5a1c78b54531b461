"""The file of decisions that the page of masks saves, checked against the masks."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from mmdet_discobox.annotation_files.coco_values import quote
from mmdet_discobox.labelling.labelled_boxes import has_mask, is_accepted
from mmdet_discobox.labelling.mask_encoding import mask_digest
from mmdet_discobox.utils.types import Json

AnnId = int | str
_LISTS = ("accepted", "rejected", "left_out")


@dataclass(frozen=True)
class PageDecisions:
    """What a person decided on the page of ``--report``.

    Attributes:
        path: the file, for messages.
        accepted: ids of accepted masks.
        rejected: ids of rejected masks; None if the file has no such list.
        left_out: ids of masks without room on the page.
        digests: of all these masks, by the json of their ids; see
            :func:`~mmdet_discobox.labelling.mask_encoding.mask_digest`. Masks without one are not
            compared.
    """

    path: str | Path
    accepted: list[AnnId]
    rejected: list[AnnId] | None
    left_out: list[AnnId]
    digests: Mapping[str, Any]

    @classmethod
    def read(cls, path: str | Path) -> PageDecisions:
        """Read the file that the page saved, or a json list of accepted ids.

        Raises:
            FileNotFoundError: if the file is missing.
            ValueError: if the file has no such lists, or an id is in several of them.
        """
        content = _read(path)
        decisions = cls(
            path,
            accepted=_ids(content.get("accepted"), "accepted", path),
            rejected=_ids(content["rejected"], "rejected", path) if "rejected" in content else None,
            left_out=_ids(content.get("left_out", []), "left_out", path),
            digests=_digests(content.get("masks", {}), path),
        )
        decisions._check_disjoint()
        return decisions

    def _check_disjoint(self) -> None:
        lists = map(set, (self.accepted, self.rejected or (), self.left_out))
        for (one, ids), (other, others) in combinations(zip(_LISTS, lists, strict=True), 2):
            if both := ids & others:
                raise ValueError(
                    f"Expected '{self.path}' to have a mask in one list, but {len(both)} are in "
                    f"`{one}` and `{other}`, first {quote(next(iter(both)))}. Save the file of the "
                    "page again."
                )

    def check_ids(self, wanted: Collection[AnnId], dataset: Json) -> None:
        """Check that ids are of a data set.

        Raises:
            ValueError: if one is not.
        """
        known = {annotation["id"] for annotation in dataset["annotations"]}
        if unknown := [value for value in wanted if value not in known]:
            raise ValueError(
                f"Expected '{self.path}' to be of these boxes, but {len(unknown)} of its "
                f"{len(wanted)} ids are not among theirs, first {quote(unknown[0])}."
            )

    def check_masks(self, wanted: Collection[AnnId], dataset: Json) -> None:
        """Check that the masks of some ids exist.

        Raises:
            ValueError: if a mask is missing, as in the json of the boxes.
        """
        masks = {a["id"] for a in dataset["annotations"] if has_mask(a)}
        if empty := [value for value in wanted if value not in masks]:
            raise ValueError(
                f"Expected the annotations of '{self.path}' to have a mask, but {len(empty)} of "
                f"its {len(wanted)} have none, first {quote(empty[0])}. Pass the labelled json "
                "that the page shows, OUT_JSON, instead of the json of the boxes."
            )

    def check_unchanged(self, dataset: Json) -> None:
        """Check that the masks of a data set are those of the page.

        Masks that are gone, or that a person has drawn since, may differ.

        Raises:
            ValueError: if a mask is another one.
        """
        sizes = {image["id"]: (image["height"], image["width"]) for image in dataset["images"]}
        masks = [a for a in dataset["annotations"] if has_mask(a)]
        if changed := [a["id"] for a in masks if not self._is_of(a, sizes[a["image_id"]])]:
            raise ValueError(
                f"Expected the masks that '{self.path}' is about, but {len(changed)} are others "
                f"than those of the page, first that of annotation {quote(changed[0])}. Pass the "
                "json of which the page was drawn, or draw a new page with --report and decide "
                "there."
            )

    def _is_of(self, annotation: Json, size: tuple[int, int]) -> bool:
        """Return whether the mask is the one on the page, or drawn by a person since."""
        digest = self.digests.get(json.dumps(annotation["id"]))
        if digest is None or is_accepted(annotation):
            return True
        height, width = size
        return mask_digest(annotation["segmentation"], height=height, width=width) == digest


def _read(path: str | Path) -> Json:
    try:
        content = json.loads(Path(path).read_bytes())
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(
            f"Expected the decisions of the page at '{path}', but there is no such file."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Expected '{path}' to be a json, but: {error}.") from error
    return content if isinstance(content, dict) else dict(accepted=content)


def _ids(ids: Any, name: str, path: str | Path) -> list[AnnId]:
    if not isinstance(ids, list) or not all(type(value) in (int, str) for value in ids):
        raise ValueError(
            f"Expected '{path}' to have a list `{name}` of ids, as the page of --report gives it, "
            f"but got {quote(ids)}."
        )
    return ids


def _digests(digests: Any, path: str | Path) -> Mapping[str, Any]:
    if not isinstance(digests, dict):
        raise ValueError(
            f"Expected '{path}' to have an object `masks` of digests, as the page of --report "
            f"gives it, but got {quote(digests)}."
        )
    return digests
