"""Label all boxes of a data set in several processes, and resume after a kill."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, broadcast_object_list, get_rank, get_world_size

from mmdet_discobox.annotation_files.missing_images import missing_image_hint
from mmdet_discobox.utils.journal import Journal
from mmdet_discobox.utils.ownership import sole_owner
from mmdet_discobox.utils.paths import is_file
from mmdet_discobox.utils.types import Json

from .auto_labeler import AutoLabeler
from .boxed_image import BoxedImage, ImageTask, UnusableImageError
from .labelled_boxes import is_asked, is_unread

#: takes the number of images that this process has labelled, and the number of all its images
OnImage = Callable[[int, int], None]


@dataclass(frozen=True)
class LabelRun:
    """Label a data set with an :class:`AutoLabeler`, resumably.

    Each process writes every finished image to a journal of its own, one line each. After a kill,
    the next run reads all journals and labels the remaining images, and again the images that could
    not be read. Only one run at a time works on a folder of journals.

    Attributes:
        dataset: a COCO json, see :func:`read_boxes`.
        image_dir: folder of its images.
        journal_dir: folder of the journals; created if absent.
        settings: settings on which the masks depend besides the boxes; journals of other settings
            raise an error.
        classes: names of the classes to label; None labels all.
    """

    dataset: Json
    image_dir: Path
    journal_dir: Path
    settings: Json
    classes: Collection[str] | None = None

    def label(
        self, labeler: AutoLabeler, *, batch_size: int = 2, on_image: OnImage | None = None
    ) -> dict[str, Json]:
        """Label the images that no journal has yet.

        Each process takes every n-th of these images, and waits for the others at the end.

        Args:
            labeler: the labeler of the images.
            batch_size: images at once.
            on_image: called after each image.

        Returns:
            In the first process the records of all images, in the others nothing.

        Raises:
            FileNotFoundError: if not a single image exists.
            ValueError: if the journal is of another run, another run still works on it, or images
                were not labelled.
        """
        self._check_images_exist()
        with sole_owner(self.journal_dir):
            return self._label(labeler, batch_size, on_image)

    def _label(
        self, labeler: AutoLabeler, batch_size: int, on_image: OnImage | None
    ) -> dict[str, Json]:
        self._check_journals()
        finished: list[Any] = [self._done() if get_rank() == 0 else None]
        broadcast_object_list(finished)  # no process writes before all have read
        done = set(finished[0])
        left = [task for key, task in self._tasks.items() if key not in done]
        mine = left[get_rank() :: get_world_size()]
        with closing(self._journal(self.journal_dir / f"{get_rank()}.jsonl")) as journal:
            for number, (key, record) in enumerate(self._records(labeler, mine, batch_size), 1):
                journal.add(key, record)
                if on_image is not None:
                    on_image(number, len(mine))
        barrier()
        if get_rank():
            return {}
        records = self.finished()
        self._check_complete(records)
        return records

    def finished(self) -> dict[str, Json]:
        """Return the records of the images by their ids, see :class:`ImageTask`.

        If any journal has a record of masks for an image, that record takes precedence.
        """
        records: dict[str, Json] = {}
        for path in self._journal_files():
            with closing(self._journal(path)) as journal:
                for key, record in journal.done.items():
                    if key not in records or not is_unread(record):
                        records[key] = record
        return records

    def _done(self) -> list[str]:
        return [key for key, record in self.finished().items() if not is_unread(record)]

    def remove_journals(self) -> None:
        """Delete the journals, after the result is written."""
        for path in self._journal_files():
            path.unlink()
        with suppress(OSError):  # an owner removes it later
            self.journal_dir.rmdir()

    @cached_property
    def _tasks(self) -> dict[str, ImageTask]:
        names = {category["id"]: category["name"] for category in self.dataset["categories"]}
        boxes: dict[Any, list[Json]] = defaultdict(list)
        for annotation in self.dataset["annotations"]:
            if is_asked(annotation, names, self.classes):
                boxes[annotation["image_id"]].append(annotation)
        return {
            json.dumps(image["id"]): ImageTask(image, boxes[image["id"]], names)
            for image in self.dataset["images"]
            if image["id"] in boxes
        }

    def _records(
        self, labeler: AutoLabeler, tasks: Sequence[ImageTask], batch_size: int
    ) -> Iterator[tuple[str, Json]]:
        for first in range(0, len(tasks), batch_size):
            readable = []
            for task in tasks[first : first + batch_size]:
                try:
                    readable.append((task, task.read(self.image_dir)))
                except (FileNotFoundError, ValueError) as error:
                    yield json.dumps(task.image["id"]), task.failure(str(error))
            all_masks = _masks(labeler, [image for _, image in readable])
            for (task, image), masks in zip(readable, all_masks, strict=True):
                unusable = isinstance(masks, UnusableImageError)
                record = task.failure(str(masks)) if unusable else task.record(image, masks)
                yield json.dumps(task.image["id"]), record

    def _journal(self, path: Path) -> Journal:
        path.parent.mkdir(parents=True, exist_ok=True)
        return Journal(path, self._header)

    def _journal_files(self) -> list[Path]:
        return sorted(self.journal_dir.glob("*.jsonl"))

    @cached_property
    def _header(self) -> Json:
        text = json.dumps(self.dataset, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return {"boxes": digest, "classes": sorted(self.classes or ()), **self.settings}

    def _check_journals(self) -> None:
        for path in self._journal_files():
            with path.open("rb") as file:
                line = file.readline()
            if line.endswith(b"\n") and line != f"{json.dumps(self._header)}\n".encode():
                raise ValueError(
                    f"Expected the unfinished run in '{self.journal_dir}' to be of the same boxes, "
                    "checkpoint and settings, but it is of others. Finish it with these, or delete "
                    "the folder."
                )

    def _check_complete(self, records: dict[str, Json]) -> None:
        """Check that every box has a mask or a reason."""
        missing = [
            key
            for key, task in self._tasks.items()
            if {a["id"] for a in task.annotations} != _ids_of(records.get(key))
        ]
        if missing:
            raise ValueError(
                f"Expected the boxes of all {len(self._tasks)} images in the journals in "
                f"'{self.journal_dir}', but those of {len(missing)} images are missing, first "
                f"image {missing[0]}. Run the same command again: it labels these. Processes on "
                "several machines need a folder that all of them share."
            )

    def _check_images_exist(self) -> None:
        names = [task.image["file_name"] for task in self._tasks.values()]
        if names and not any(is_file(self.image_dir / name) for name in names):
            hint = missing_image_hint(names[0], self.image_dir)
            raise FileNotFoundError(
                f"Expected the images of the boxes in '{self.image_dir}', but none of the "
                f"{len(names)} exists; the first would be '{self.image_dir / names[0]}'."
                + (f" {hint}." if hint else "")
            )


def _ids_of(record: Json | None) -> set[Any]:
    if record is None:
        return set()
    return {entry["id"] for part in ("masks", "failed") for entry in record[part]}


def _masks(labeler: AutoLabeler, images: Sequence[BoxedImage]) -> list[Any]:
    """Return the masks of each image, or why its image is unusable."""
    try:
        return list(labeler(images))
    except UnusableImageError as error:
        if len(images) == 1:
            return [error]
        return [masks for image in images for masks in _masks(labeler, [image])]
