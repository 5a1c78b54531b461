"""Label all boxes of a data set, in as many processes as there are, and go on after a kill."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, broadcast_object_list, get_rank, get_world_size

from mmdet_discobox.datasets.coco_records import Json
from mmdet_discobox.datasets.converters.files import Journal

from .auto_labeler import AutoLabeler
from .labelled_boxes import has_own_mask, is_unread
from .picture_task import PictureTask

#: called with the number of pictures that this process has done, and that it has to do
OnPicture = Callable[[int, int], None]


@dataclass(frozen=True)
class LabelRun:
    """A data set on its way through an :class:`AutoLabeler`.

    Each process notes every finished picture in a journal of its own, one line each. Whatever is
    killed when, the next run reads them all and does what is left; pictures that could not be read
    are left, too.

    Attributes:
        dataset: a COCO json, see :func:`read_boxes`.
        image_dir: folder of its pictures.
        journal_dir: folder of the journals; made if it is not there.
        settings: what the masks depend on besides the boxes; journals of others are refused.
    """

    dataset: Json
    image_dir: Path
    journal_dir: Path
    settings: Json

    def label(
        self, labeler: AutoLabeler, *, batch_size: int = 2, on_picture: OnPicture | None = None
    ) -> dict[str, Json]:
        """Label what is not labelled yet.

        Each process takes every n-th of these pictures, and waits for the others at the end.

        Args:
            labeler: makes the masks.
            batch_size: pictures at once.
            on_picture: called after each picture.

        Returns:
            In the first process the records of all pictures, in the others nothing.

        Raises:
            FileNotFoundError: if not a single picture is there.
            ValueError: if the journal is of another run.
        """
        self._look_for_pictures()
        self._check_journals()
        finished: list[Any] = [self._done() if get_rank() == 0 else None]
        broadcast_object_list(finished)  # nobody writes before all know what is done
        done = set(finished[0])
        left = [task for key, task in self._tasks.items() if key not in done]
        mine = left[get_rank() :: get_world_size()]
        with closing(self._journal(self.journal_dir / f"{get_rank()}.jsonl")) as journal:
            for number, (key, record) in enumerate(self._records(labeler, mine, batch_size), 1):
                journal.add(key, record)
                if on_picture is not None:
                    on_picture(number, len(mine))
        barrier()
        return self.finished() if get_rank() == 0 else {}

    def finished(self) -> dict[str, Json]:
        """Records of the pictures by the ids of their images, see :class:`PictureTask`.

        A picture that could be read once has that record, whatever other journals say.
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
        """Forget the run, once its result is written."""
        for path in self._journal_files():
            path.unlink()
        self.journal_dir.rmdir()

    @cached_property
    def _tasks(self) -> dict[str, PictureTask]:
        names = {category["id"]: category["name"] for category in self.dataset["categories"]}
        boxes: dict[Any, list[Json]] = defaultdict(list)
        for annotation in self.dataset["annotations"]:
            if not has_own_mask(annotation):
                boxes[annotation["image_id"]].append(annotation)
        return {
            json.dumps(image["id"]): PictureTask(image, boxes[image["id"]], names)
            for image in self.dataset["images"]
            if image["id"] in boxes
        }

    def _records(
        self, labeler: AutoLabeler, tasks: Sequence[PictureTask], batch_size: int
    ) -> Iterator[tuple[str, Json]]:
        for first in range(0, len(tasks), batch_size):
            readable = []
            for task in tasks[first : first + batch_size]:
                try:
                    readable.append((task, task.read(self.image_dir)))
                except (FileNotFoundError, ValueError) as error:
                    yield json.dumps(task.image["id"]), task.failure(str(error))
            all_masks = labeler([picture for _, picture in readable])
            for (task, picture), masks in zip(readable, all_masks, strict=True):
                yield json.dumps(task.image["id"]), task.record(picture, masks)

    def _journal(self, path: Path) -> Journal:
        path.parent.mkdir(parents=True, exist_ok=True)
        return Journal(path, self._header)

    def _journal_files(self) -> list[Path]:
        return sorted(self.journal_dir.glob("*.jsonl"))

    @cached_property
    def _header(self) -> Json:
        text = json.dumps(self.dataset, sort_keys=True)
        return {"boxes": hashlib.sha256(text.encode()).hexdigest(), **self.settings}

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

    def _look_for_pictures(self) -> None:
        names = [task.image["file_name"] for task in self._tasks.values()]
        if names and not any(_is_file(self.image_dir / name) for name in names):
            raise FileNotFoundError(
                f"Expected the pictures of the boxes in '{self.image_dir}', but none of the "
                f"{len(names)} is there; the first would be '{self.image_dir / names[0]}'."
            )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False
