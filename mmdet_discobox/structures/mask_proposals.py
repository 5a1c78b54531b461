"""Ground-truth objects and mask proposals, the interface of task networks to the structured losses.

"DiscoBox is agnostic to the task networks" (Sec. 3.1): each network returns
:class:`MaskProposals`, and the structured teacher and losses depend only on them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_discobox.functional import check_shapes, constants_like


@dataclass(frozen=True)
class BoxObjects:
    """Ground-truth objects of a batch, images concatenated in order.

    Attributes:
        boxes: ``(G, 4)`` float32 ``(x1, y1, x2, y2)`` in pixels of the batch, clipped to the image.
        labels: ``(G,)`` class indices.
        image_inds: ``(G,)`` index of the object's image in the batch.
        image_sizes: ``(B, 2)`` float32 ``(height, width)`` of each image, mmdet's ``img_shape``:
            without the padding of the data preprocessor, but with that of a ``Pad`` in the training
            pipeline, whose colour then counts as part of the image.
        image_ids: ``(G,)`` int64 id of the object's image in the data set, -1 if unknown.
        cut_sides: ``(G, 4)`` boolean, sides of the boxes that a crop of the pipeline has cut, where
            they need not be tight (:class:`.PackCutSides`); None: no side is cut.
    """

    boxes: Tensor
    labels: Tensor
    image_inds: Tensor
    image_sizes: Tensor
    image_ids: Tensor
    cut_sides: Tensor | None = None

    def __post_init__(self) -> None:
        check_shapes(
            boxes=(self.boxes, "G 4"),
            labels=(self.labels, "G"),
            image_inds=(self.image_inds, "G"),
            image_sizes=(self.image_sizes, "B 2"),
            image_ids=(self.image_ids, "G"),
        )
        if self.cut_sides is not None:
            check_shapes(boxes=(self.boxes, "G 4"), cut_sides=(self.cut_sides, "G 4"))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, part: slice | Tensor) -> BoxObjects:
        """Select some of the objects, of the same batch."""
        return replace(
            self,
            boxes=self.boxes[part],
            labels=self.labels[part],
            image_inds=self.image_inds[part],
            image_ids=self.image_ids[part],
            cut_sides=None if self.cut_sides is None else self.cut_sides[part],
        )

    def to(self, device: torch.device | str) -> BoxObjects:
        """Move the objects to a device."""
        moved: dict[str, Any] = {
            name: None if value is None else value.to(device) for name, value in vars(self).items()
        }
        return BoxObjects(**moved)

    @classmethod
    def from_samples(cls, samples: Sequence[DetDataSample]) -> BoxObjects:
        """Collect the boxes and labels of a batch; masks are never read.

        Args:
            samples: data samples with ``bboxes`` and ``labels`` in ``gt_instances``, and
                ``img_shape`` in their metainfo, and optionally ``cut_sides`` in ``gt_instances``.
                Crowd and ignored boxes, which mmdet stores in ``ignored_instances``, are excluded.
        """
        instances = [sample.gt_instances for sample in samples]
        boxes = torch.cat([i.bboxes for i in instances]).float()
        image_inds = _repeat(range(len(samples)), instances, boxes.device)
        sides = [side for sample in samples for side in sample.img_shape[:2]]
        sizes = constants_like(sides, boxes).view(-1, 2)  # (B, 2)
        limits = sizes.flip(1).repeat(1, 2)[image_inds]  # (G, 4)
        return cls(
            boxes=boxes.clamp_min(0).minimum(limits),
            labels=torch.cat([i.labels for i in instances]),
            image_inds=image_inds,
            image_sizes=sizes,
            image_ids=_repeat(map(_image_id, samples), instances, boxes.device),
            cut_sides=_cut_sides(instances),
        )

    def to_instances(self) -> list[InstanceData]:
        """Return the boxes and labels of each image in the format of mmdet's heads.

        Reads the number of objects per image from the device: one host synchronisation.
        """
        images = torch.arange(len(self.image_sizes), device=self.image_inds.device)
        counts = (self.image_inds == images[:, None]).sum(1).tolist()
        each = zip(self.boxes.split(counts), self.labels.split(counts), strict=True)
        return [InstanceData(bboxes=boxes, labels=labels) for boxes, labels in each]


def _repeat(
    numbers: Iterable[int], instances: Sequence[InstanceData], device: torch.device
) -> Tensor:
    """Repeat the number of each image for each of its objects: ``(G,)`` int64.

    Uses fills, because a host-to-device copy would synchronise.
    """
    return torch.cat(
        [
            torch.full((len(objects.bboxes),), number, device=device)
            for number, objects in zip(numbers, instances, strict=True)
        ]
    )


def _cut_sides(instances: Sequence[InstanceData]) -> Tensor | None:
    """Concatenate the cut sides of all images; images without this field have no cut box."""
    if not any("cut_sides" in objects for objects in instances):
        return None
    return torch.cat(
        [
            objects.get("cut_sides", torch.zeros_like(objects.bboxes, dtype=torch.bool))
            for objects in instances
        ]
    )


def _image_id(sample: DetDataSample) -> int:
    """Return the image id as an int64; strings, as in VOC, and larger ids become checksums."""
    name = sample.metainfo.get("img_id", -1)
    if isinstance(name, int) and -(2**63) <= name < 2**63:
        return name
    return zlib.crc32(str(name).encode(errors="backslashreplace"))


@dataclass(frozen=True)
class MaskProposals:
    """Mask logits of a batch, each assigned to the ground-truth object it is trained for.

    Attributes:
        logits: ``(N, H, W)`` mask logits of the whole image on a grid of cells.
        object_inds: ``(N,)`` index into ``objects``.
        objects: the G ground-truth objects.
        stride: pixels per cell of the grid, not necessarily an integer (YOLACT: 550 / 138).
    """

    logits: Tensor
    object_inds: Tensor
    objects: BoxObjects
    stride: float

    def __post_init__(self) -> None:
        check_shapes(logits=(self.logits, "N H W"), object_inds=(self.object_inds, "N"))

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def boxes(self) -> Tensor:
        """Box of each proposal in pixels, ``(N, 4)``."""
        return self.objects.boxes[self.object_inds]

    @property
    def labels(self) -> Tensor:
        """Class of each proposal, ``(N,)``."""
        return self.objects.labels[self.object_inds]

    @property
    def cut_sides(self) -> Tensor | None:
        """Cut sides of the box of each proposal, ``(N, 4)`` boolean; None: no side is cut."""
        cut_sides = self.objects.cut_sides
        return None if cut_sides is None else cut_sides[self.object_inds]

    @property
    def image_inds(self) -> Tensor:
        """Image index of each proposal, ``(N,)``."""
        return self.objects.image_inds[self.object_inds]

    def per_object(self) -> tuple[Tensor, Tensor]:
        """Average the logits of each object's proposals.

        If the logits are linear in a kernel (SOLOv2) or in coefficients (YOLACT), this is the mask
        of the object's mean kernel.

        Returns:
            ``(G, H, W)`` logits, zero for objects without a proposal, and ``(G,)`` boolean, objects
            with a proposal.
        """
        total = self.logits.new_zeros(len(self.objects), *self.logits.shape[1:], dtype=torch.float)
        total.index_add_(0, self.object_inds, self.logits.float())
        counts = torch.zeros_like(self.objects.boxes[:, 0])
        counts.index_add_(0, self.object_inds, torch.ones_like(self.object_inds, dtype=torch.float))
        return total / counts.clamp_min(1)[:, None, None], counts > 0
