"""A json of one image for the checks of a data set, and access to their findings."""

from __future__ import annotations

from dataset_checks import TrainingSettings

WIDTH, HEIGHT = 96, 64
PLAIN = TrainingSettings(image_scale=None, scale_ranges=((1, 48), (24, 96)), batch_size=1)
GOOD = [4, 4, 20, 20]


def coco(*boxes, **fields):
    annotations = [
        dict(id=i, image_id=1, category_id=1, bbox=box, **fields) for i, box in enumerate(boxes, 1)
    ]
    image = dict(id=1, file_name="Straße 图.png", width=WIDTH, height=HEIGHT)
    return dict(images=[image], annotations=annotations, categories=[dict(id=1, name="猫")])


def texts(report, level):
    return [str(finding) for finding in report.findings if finding.level == level]


def only(report, level):
    """Return the only finding; any other would be a false alarm."""
    assert [finding.level for finding in report.findings] == [level], str(report)
    assert report.stops_training == (level == "error")
    return str(report.findings[0])
