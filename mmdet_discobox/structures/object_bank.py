"""The objects seen before, to pair new ones with (Sec. 3.6, Appendix C.3)."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import torch
import torch.nn as nn
from torch import Tensor

from mmdet_discobox.functional import check_shapes

#: image id of an object whose image is not known; it is equal to no other
UNKNOWN_IMAGE = -1

Number = TypeVar("Number", int, Tensor)


class RetrievedObjects(NamedTuple):
    """R objects of its class for each of G queries.

    Attributes:
        features: ``(G, R, C, S, S)`` float32, zero where not valid.
        masks: ``(G, R, S, S)`` float32 probabilities of the foreground, zero where not valid.
        valid: ``(G, R)`` boolean. Valid objects come first.
    """

    features: Tensor
    masks: Tensor
    valid: Tensor

    def part(self, queries: slice) -> RetrievedObjects:
        """What was retrieved for some of the queries."""
        return RetrievedObjects(*(values[queries] for values in self))


class ObjectBank(nn.Module):
    """For every class the last ``capacity`` objects, first in, first out.

    All state is in persistent buffers: a bank restored from a checkpoint answers as the saved one
    would have answered, also in the random choices. No method waits for the device or loops over
    objects. With the default sizes 80 classes take 202 MB (:attr:`num_bytes`), nearly all of it
    features.

    The rows of a class follow each other in the storage. The last row belongs to no class and is
    always zero: refused objects are written there (as zeros), and answers that are not valid are
    read from there.

    Random choice comes from a counter and a hash, computed on the device of the bank: the counter
    is a buffer like any other, and no generator of torch is touched. It moves with every push, not
    with the answers: to ask changes nothing.

    Each process of a distributed training fills its own bank; a checkpoint holds the one of the
    first process. What makes buffers alike in all processes would break it: mmengine's
    ``SyncBuffersHook`` takes means, also of ids, and ``broadcast_buffers=True`` copies those of the
    first process. Neither is mmdet's default.

    Args:
        num_classes: number of classes.
        channels: ``C``, channels of the RoI features.
        size: ``S``, cells along a side of the grid over an object's box.
        capacity: objects kept of a class; the paper has 100.
        dtype: floating type of the stored features and masks, or its name in torch. Larger values
            than it can hold are clamped, NaN is stored as 0.
        min_area: objects whose box has fewer pixels are refused; the paper has 32 x 32.
        max_retrieved: ``R``, most objects retrieved for a query; the paper has 10.
        min_retrieved: a query with fewer candidates gets none; the paper has 5.
        seed: of the random choice.

    Raises:
        ValueError: if ``1 <= min_retrieved <= max_retrieved <= capacity`` does not hold, or
            ``dtype`` is no floating type.
    """

    features: Tensor
    masks: Tensor
    image_ids: Tensor
    counts: Tensor
    random_state: Tensor

    def __init__(
        self,
        num_classes: int,
        channels: int = 256,
        size: int = 7,
        capacity: int = 100,
        dtype: str | torch.dtype = torch.float16,
        min_area: float = 32 * 32,
        max_retrieved: int = 10,
        min_retrieved: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 1 <= min_retrieved <= max_retrieved <= capacity:
            raise ValueError(
                "Expected 1 <= `min_retrieved` <= `max_retrieved` <= `capacity` but got "
                f"{min_retrieved}, {max_retrieved} and {capacity}."
            )
        self.num_classes = num_classes
        self.capacity = capacity
        self.min_area = min_area
        self.max_retrieved = max_retrieved
        self.min_retrieved = min_retrieved
        stored = _floating_dtype(dtype)
        rows = num_classes * capacity + 1
        self.register_buffer("features", torch.zeros(rows, channels, size, size, dtype=stored))
        self.register_buffer("masks", torch.zeros(rows, size, size, dtype=stored))
        self.register_buffer("image_ids", torch.full((rows,), UNKNOWN_IMAGE))
        self.register_buffer("counts", torch.zeros(num_classes, dtype=torch.long))
        self.register_buffer("random_state", torch.tensor(_scramble(seed)))

    def clear(self) -> None:
        """Forget all objects: rows that are not counted are never read."""
        self.counts.zero_()

    @property
    def num_bytes(self) -> int:
        """Memory of all buffers, in bytes."""
        return sum(buffer.numel() * buffer.element_size() for buffer in self.buffers())

    @property
    def _spare(self) -> int:
        return self.num_classes * self.capacity

    @torch.no_grad()
    def push(
        self,
        features: Tensor,
        masks: Tensor,
        labels: Tensor,
        image_ids: Tensor,
        areas: Tensor,
        valid: Tensor,
    ) -> None:
        """Store G objects in order; each takes the place of the oldest of its class.

        Of more than ``capacity`` objects of a class the last ones stay, as if they had come one by
        one.

        Args:
            features: ``(G, C, S, S)`` RoI features, any floating type.
            masks: ``(G, S, S)`` probabilities of the foreground on the same grids.
            labels: ``(G,)`` int64 classes in [0, num_classes), also where not valid. To check the
                values would wait for the device: a wrong one fails in the look-up, with a
                ``RuntimeError`` or ``IndexError`` on the CPU, as a device-side assertion on a GPU.
            image_ids: ``(G,)`` int64 ids of the objects' images in the data set, or -1.
            areas: ``(G,)`` areas of the boxes in pixels.
            valid: ``(G,)`` boolean, the objects that may enter.

        Raises:
            ValueError: if a shape is another.
        """
        channels, size, _ = self.features.shape[1:]
        check_shapes(
            features=(features, f"G {channels} {size} {size}"),
            masks=(masks, f"G {size} {size}"),
            labels=(labels, "G"),
            image_ids=(image_ids, "G"),
            areas=(areas, "G"),
            valid=(valid, "G"),
        )
        self.random_state += 1
        rows = self._allot(labels, valid & (areas >= self.min_area))
        stays = rows != self._spare
        self.features.index_copy_(0, rows, _stored(features, stays, self.features.dtype))
        self.masks.index_copy_(0, rows, _stored(masks, stays, self.masks.dtype))
        self.image_ids.index_copy_(0, rows, torch.where(stays, image_ids, UNKNOWN_IMAGE))

    def _allot(self, labels: Tensor, entering: Tensor) -> Tensor:
        """Count the objects that enter and return the row of each, ``(G,)``, none of them twice."""
        classes = torch.arange(self.num_classes, device=labels.device)
        members = (labels[:, None] == classes) & entering[:, None]  # (G, num_classes)
        ranks = members.cumsum(0).gather(1, labels[:, None])[:, 0] - 1
        totals = members.sum(0)
        slots = (self.counts.index_select(0, labels) + ranks) % self.capacity
        stays = entering & (ranks >= totals.index_select(0, labels) - self.capacity)
        self.counts += totals
        return torch.where(stays, labels * self.capacity + slots, self._spare)

    @torch.no_grad()
    def retrieve(self, labels: Tensor, image_ids: Tensor) -> RetrievedObjects:
        """Choose R objects of its class at random for each of G queries, without replacement.

        An object of the query's own image is no candidate: the bank may hold the query itself, as
        an earlier epoch saw it. A query with fewer than ``min_retrieved`` candidates gets none.

        Args:
            labels: ``(G,)`` int64 classes in [0, num_classes); see :meth:`push`.
            image_ids: ``(G,)`` int64 ids of the queries' images, or -1.

        Returns:
            The objects, always R rows for a query, of which ``valid`` tells the filled ones.

        Raises:
            ValueError: if a shape is another.
        """
        check_shapes(labels=(labels, "G"), image_ids=(image_ids, "G"))
        slots = torch.arange(self.capacity, device=labels.device)
        rows = labels[:, None] * self.capacity + slots  # (G, capacity)
        filled = slots < self.counts.index_select(0, labels)[:, None]
        queries = image_ids[:, None]
        candidates = filled & ((self.image_ids[rows] != queries) | (queries == UNKNOWN_IMAGE))
        enough = candidates.sum(1, keepdim=True) >= self.min_retrieved
        scores = self._random(rows).masked_fill(~(candidates & enough), -1)
        best, chosen = scores.topk(self.max_retrieved)  # (G, R)
        valid = best >= 0
        rows = torch.where(valid, rows.gather(1, chosen), self._spare)
        return RetrievedObjects(self.features[rows].float(), self.masks[rows].float(), valid)

    def _random(self, like: Tensor) -> Tensor:
        """Distinct random numbers in [0, 2^32) of a tensor's shape, others after every push."""
        places = torch.arange(like.numel(), device=like.device).view_as(like)
        return _scramble(_scramble(places) ^ _scramble(self.random_state))


def _scramble(x: Number) -> Number:
    """A bijection of [0, 2^32) that leaves no pattern; 27-bit factors keep it within int64."""
    x = x & 0xFFFFFFFF
    for _ in range(2):
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def _stored(values: Tensor, stays: Tensor, dtype: torch.dtype) -> Tensor:
    """Cast to what ``dtype`` can hold, with zeros for the objects that do not stay."""
    limit = torch.finfo(dtype).max
    values = values.float().nan_to_num(0.0, limit, -limit).clamp(-limit, limit)
    return torch.where(stays.view(-1, *[1] * (values.ndim - 1)), values, 0.0).to(dtype)


def _floating_dtype(dtype: str | torch.dtype) -> torch.dtype:
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(
            "Expected `dtype` to be a floating type of torch, such as 'float16' or 'float32', "
            f"but got {dtype!r}."
        )
    return found
