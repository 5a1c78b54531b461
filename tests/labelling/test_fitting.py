"""Length of a training of the shipped labeller."""

from __future__ import annotations

import json

import pytest
from tiny import write_boxes

from mmdet_discobox.labelling.fitting import fit_labeler


class StopTrainingError(Exception):
    """Raised before the first step."""


@pytest.mark.parametrize(
    ("boxes", "epochs", "steps"),
    [
        (8, None, 50),  # a step an epoch
        (40, None, 51),  # three steps an epoch
        (400, None, 200),  # eight epochs
        (40, 2, 6),
    ],
)
def test_few_boxes_are_repeated_more_often(tmp_path, boxes, epochs, steps):
    root = write_boxes(tmp_path / "set", num_images=2)
    dataset = json.loads((root / "boxes.json").read_text())
    first = dataset["annotations"][0]
    dataset["annotations"] = [{**first, "id": index} for index in range(boxes)]
    totals = []

    def stop(done, total):
        totals.append(total)
        raise StopTrainingError

    with pytest.raises(StopTrainingError):
        fit_labeler(
            dataset, root / "images", tmp_path / "work", epochs=epochs, device="cpu",
            on_iteration=stop,
        )  # fmt: skip
    assert totals == [steps]
