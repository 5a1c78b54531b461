"""Records of described objects and of the matches between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from mmdet_discobox.functional import check_shapes, interpolate_matches, match_cells

from .matchers import Matcher

#: pairs per batch
_CHUNK = 16


@dataclass(frozen=True, eq=False)
class DescribedObjects:
    """The n objects of an image, with the features of their cells.

    Attributes:
        boxes: ``(n, 4)`` ``(x1, y1, x2, y2)`` in pixels of the image, whose left edge is 0.
        labels: ``(n,)``.
        scores: ``(n,)`` in [0, 1].
        features: ``(n, C, S, S)`` features of the cells of a grid over each box.
        masks: ``(n, S, S)`` share of each cell that is foreground.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    features: Tensor
    masks: Tensor

    def __post_init__(self) -> None:
        check_shapes(
            boxes=(self.boxes, "n 4"),
            labels=(self.labels, "n"),
            scores=(self.scores, "n"),
            features=(self.features, "n C S S"),
            masks=(self.masks, "n S S"),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def num_bytes(self) -> int:
        """Memory of all tensors, in bytes."""
        tensors = (getattr(self, field.name) for field in fields(self))
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def to(self, device: torch.device | str) -> DescribedObjects:
        """Return the objects on a device."""
        return DescribedObjects(*(getattr(self, field.name).to(device) for field in fields(self)))

    def __getitem__(self, rows: Tensor | slice) -> DescribedObjects:
        return DescribedObjects(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def cat(cls, images: Sequence[DescribedObjects]) -> DescribedObjects:
        """Concatenate the objects of images."""
        return cls(*(torch.cat([getattr(i, field.name) for i in images]) for field in fields(cls)))


@dataclass(frozen=True, eq=False)
class ObjectMatch:
    """Dense correspondence from a source object to a target object, on the CPU.

    Attributes:
        source: image of the source object, and its index in that image.
        target: image of the target object, and its index in that image.
        label: class of both objects.
        confidence: product of the scores of their boxes (Sec. 4.1).
        source_box: ``(4,)`` ``(x1, y1, x2, y2)`` in pixels of the source image.
        target_box: ``(4,)`` in pixels of the target image.
        cells: ``(S, S, 2)`` matches of the source's cell centres, x and y in [0, 1] of the target
            box.
        certainty: ``(S, S)`` in [0, 1], share of each cell's mass that the plan moves to within a
            cell of its mode.
    """

    source: tuple[int, int]
    target: tuple[int, int]
    label: int
    confidence: float
    source_box: Tensor
    target_box: Tensor
    cells: Tensor
    certainty: Tensor

    @property
    def positions(self) -> Tensor:
        """``(S, S, 2)`` matches of the source's cell centres in pixels of the target image."""
        return _to_pixels(self.cells, self.target_box)

    def transfer(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Transfer points from the source to the target.

        Args:
            points: ``(K, 2)`` x and y in pixels of the source image, whose left edge is 0: the
                centre of the first pixel is 0.5. Points outside the source box move with its
                border.

        Returns:
            ``(K, 2)`` in pixels of the target image, and certainties ``(K,)`` in [0, 1].

        Raises:
            ValueError: if the points have another shape.
        """
        points = torch.as_tensor(points, dtype=torch.float32)
        check_shapes(points=(points, "K 2"))
        low, high = self.source_box.view(2, 2)
        moved, certainty = interpolate_matches(
            self.cells.flatten(0, 1)[None],
            self.certainty.flatten()[None],
            ((points - low) / (high - low))[None],
            size=len(self.certainty),
        )
        return _to_pixels(moved[0], self.target_box), certainty[0]


def _to_pixels(points: Tensor, box: Tensor) -> Tensor:
    """Convert points in [0, 1] of a box to pixels."""
    low, high = box.view(2, 2)
    return low + points * (high - low)


@torch.no_grad()
def match_objects(
    images: Sequence[DescribedObjects], pairs: Tensor, matcher: Matcher
) -> list[ObjectMatch]:
    """Match pairs of objects, in batches.

    Args:
        images: the objects of each image.
        pairs: ``(P, 2)`` source and target, as indices into the objects of all images.
        matcher: see :func:`.build_matcher`.

    Returns:
        One record per pair.
    """
    if not len(pairs):
        return []
    objects = DescribedObjects.cat(images)
    places = [(i, n) for i, image in enumerate(images) for n in range(len(image))]
    chunks = pairs.split(_CHUNK)
    return [match for chunk in chunks for match in _match_batch(objects, chunk, matcher, places)]


def _match_batch(
    objects: DescribedObjects, pairs: Tensor, matcher: Matcher, places: list[tuple[int, int]]
) -> list[ObjectMatch]:
    source, target = pairs.to(objects.features.device).unbind(1)
    features, masks, size = objects.features, objects.masks, objects.masks.shape[-1]
    plans = matcher(features[source], features[target], masks[source], masks[target])
    cells, certainty = (x.cpu().unflatten(1, (size, size)) for x in match_cells(plans, size=size))
    scores, boxes, labels = (x.cpu() for x in (objects.scores, objects.boxes, objects.labels))
    return [
        ObjectMatch(
            source=places[s],
            target=places[t],
            label=int(labels[s]),
            confidence=float(scores[s] * scores[t]),
            source_box=boxes[s],
            target_box=boxes[t],
            cells=cells[row],
            certainty=certainty[row],
        )
        for row, (s, t) in enumerate(pairs.tolist())
    ]


def best_matches(matches: Sequence[ObjectMatch]) -> list[ObjectMatch]:
    """Select matches greedily by confidence times mean certainty, each object in one at most."""
    taken: set[tuple[int, int]] = set()
    best = []
    for match in sorted(matches, key=lambda m: -m.confidence * float(m.certainty.mean())):
        if not taken & {match.source, match.target}:
            taken |= {match.source, match.target}
            best.append(match)
    return best
