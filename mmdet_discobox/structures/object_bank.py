"""Memory bank of past objects, the targets of cross-image matching (Sec. 3.6, Appendix C.3)."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from mmdet_discobox.functional import check_shapes, without_autocast

#: image id of objects whose image is unknown; never equal to another id
UNKNOWN_IMAGE = -1

#: larger features are clamped, so that the sum of their squares is finite
_LARGEST = 1e15

Number = TypeVar("Number", int, Tensor)


class RetrievedObjects(NamedTuple):
    """R bank objects of the same class for each of G queries.

    Attributes:
        rows: ``(G, R)`` int64 rows of the bank, of a zero object if not valid.
        masks: ``(G, R, S, S)`` float32 foreground probabilities, zero if not valid.
        valid: ``(G, R)`` boolean. Valid objects come first.
    """

    rows: Tensor
    masks: Tensor
    valid: Tensor

    def part(self, queries: slice) -> RetrievedObjects:
        """Select the objects retrieved for a slice of the queries."""
        return RetrievedObjects(*(values[queries] for values in self))


class ObjectBank(nn.Module):
    """Store the last ``capacity`` objects of every class, first in, first out.

    All state is in persistent buffers, so a bank loaded from a checkpoint retrieves the same
    objects as the saved one, including the random choice. No method synchronises or loops over
    objects. With the default sizes 80 classes take 202 MB (:attr:`num_bytes`), mostly features.

    The rows of a class are contiguous. The last row belongs to no class and is always zero:
    rejected objects are written to it (as zeros), and invalid retrievals are read from it.

    The random choice hashes a counter on the device of the bank; the counter is a buffer, and no
    torch generator is used. Only :meth:`push` advances it, so retrieval has no side effect.

    Features are stored as unit vectors of the channels, as only their cosines are used.

    Each process of a distributed training fills its own bank; a checkpoint contains the one of the
    first process. Do not synchronise buffers between processes: mmengine's ``SyncBuffersHook``
    averages them, including ids, and ``broadcast_buffers=True`` copies those of the first process.
    Neither is mmdet's default.

    Args:
        num_classes: number of classes.
        channels: ``C``, channels of the RoI features.
        size: ``S``, cells per side of the grid over an object's box.
        capacity: objects stored per class; the paper has 100.
        dtype: floating type of the stored features and masks, or its name in torch.
        min_area: smallest box area in pixels; smaller objects are rejected. The paper has 32 x 32.
        max_retrieved: ``R``, maximum number of objects per query; the paper has 10.
        min_retrieved: queries with fewer candidates retrieve none; the paper has 5.
        seed: seed of the random choice.

    Raises:
        ValueError: if ``1 <= min_retrieved <= max_retrieved <= capacity`` does not hold, or
            ``dtype`` is not a floating type.
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
        self.register_buffer("random_state", torch.tensor(_hash32(seed)))

    def clear(self) -> None:
        """Remove all objects by resetting the counts; rows beyond the count are never read."""
        self.counts.zero_()

    @property
    def num_bytes(self) -> int:
        """Memory of all buffers, in bytes."""
        return sum(buffer.numel() * buffer.element_size() for buffer in self.buffers())

    @property
    def _padding_row(self) -> int:
        """Index of the last row, which is always zero."""
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
        """Store G objects in order; each replaces the oldest of its class if the class is full.

        If there are more than ``capacity`` objects of a class, the last ones are stored.

        Args:
            features: ``(G, C, S, S)`` RoI features, any floating type; NaN counts as 0.
            masks: ``(G, S, S)`` foreground probabilities on the same grids.
            labels: ``(G,)`` int64 classes in [0, num_classes), also of invalid objects. They are
                not checked, which would synchronise: a wrong one raises ``RuntimeError`` or
                ``IndexError`` on the CPU, and a device-side assertion on a GPU.
            image_ids: ``(G,)`` int64 ids of the objects' images in the data set, or -1.
            areas: ``(G,)`` box areas in pixels.
            valid: ``(G,)`` boolean, objects to store; the others are skipped.

        Raises:
            ValueError: if shapes disagree.
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
        rows = self._assign_rows(labels, valid & (areas >= self.min_area))
        kept = rows != self._padding_row
        self.features.index_copy_(
            0, rows, _to_storage(_unit_vectors(features), kept, self.features.dtype)
        )
        self.masks.index_copy_(0, rows, _to_storage(masks, kept, self.masks.dtype))
        self.image_ids.index_copy_(0, rows, torch.where(kept, image_ids, UNKNOWN_IMAGE))

    def _assign_rows(self, labels: Tensor, accepted: Tensor) -> Tensor:
        """Count the accepted objects and assign a storage row to each object, ``(G,)``."""
        classes = torch.arange(self.num_classes, device=labels.device)
        members = (labels[:, None] == classes) & accepted[:, None]  # (G, num_classes)
        ranks = members.cumsum(0).gather(1, labels[:, None])[:, 0] - 1
        totals = members.sum(0)
        slots = (self.counts.index_select(0, labels) + ranks) % self.capacity
        kept = accepted & (ranks >= totals.index_select(0, labels) - self.capacity)
        self.counts += totals
        return torch.where(kept, labels * self.capacity + slots, self._padding_row)

    @torch.no_grad()
    def retrieve(self, labels: Tensor, image_ids: Tensor) -> RetrievedObjects:
        """Draw R objects of the same class for each of G queries, without replacement.

        Objects of the query's own image are excluded, because the bank may contain the query itself
        from an earlier epoch. Queries with fewer than ``min_retrieved`` candidates retrieve none.

        Args:
            labels: ``(G,)`` int64 classes in [0, num_classes); see :meth:`push`.
            image_ids: ``(G,)`` int64 ids of the queries' images, or -1.

        Returns:
            R objects per query, padded with invalid ones.

        Raises:
            ValueError: if shapes disagree.
        """
        check_shapes(labels=(labels, "G"), image_ids=(image_ids, "G"))
        slots = torch.arange(self.capacity, device=labels.device)
        rows = labels[:, None] * self.capacity + slots  # (G, capacity)
        filled = slots < self.counts.index_select(0, labels)[:, None]
        queries = image_ids[:, None]
        candidates = filled & ((self.image_ids[rows] != queries) | (queries == UNKNOWN_IMAGE))
        enough = candidates.sum(1, keepdim=True) >= self.min_retrieved
        scores = self._random_numbers(rows).masked_fill(~(candidates & enough), -1)
        best, chosen = scores.topk(self.max_retrieved)  # (G, R)
        valid = best >= 0
        rows = torch.where(valid, rows.gather(1, chosen), self._padding_row)
        return RetrievedObjects(rows, self.masks[rows].float(), valid)

    def similarity(self, features: Tensor, rows: Tensor) -> Tensor:
        """Compute the cosines between the cells of G queries and of R objects each (``C_u``).

        The features of the objects are copied twice: from the bank in its type, and into the
        float32 operand of one product for each query.

        Args:
            features: ``(G, C, S, S)`` RoI features of the queries.
            rows: ``(G, R)`` of :class:`RetrievedObjects`.

        Returns:
            ``(G, R, N, N)`` float32 with N = S * S, differentiable in ``features``; 0 for zero
            features.
        """
        channels, size, _ = self.features.shape[1:]
        check_shapes(features=(features, f"G {channels} {size} {size}"), rows=(rows, "G R"))
        queries, count = rows.shape
        stored = self.features[rows].flatten(3).transpose(1, 2)  # (G, C, R, N)
        with without_autocast(features):
            cells = F.normalize(features.float().flatten(2), dim=1).mT  # (G, N, C)
            operand = stored.to(torch.float32, memory_format=torch.contiguous_format).flatten(2)
            products = cells @ operand  # (G, N, R * N)
        return products.view(queries, size**2, count, size**2).transpose(1, 2)

    def _random_numbers(self, like: Tensor) -> Tensor:
        """Compute distinct random numbers in [0, 2^32) in the shape of a tensor, new per push."""
        positions = torch.arange(like.numel(), device=like.device).view_as(like)
        return _hash32(_hash32(positions) ^ _hash32(self.random_state))


def _hash32(x: Number) -> Number:
    """Hash 32-bit integers by a bijection; the 27-bit factor keeps products within int64."""
    x = x & 0xFFFFFFFF
    for _ in range(2):
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def _unit_vectors(features: Tensor) -> Tensor:
    """Normalise ``(N, C, S, S)`` features over their channels, in float32; zero stays zero."""
    finite = features.float().nan_to_num(0.0, _LARGEST, -_LARGEST).clamp(-_LARGEST, _LARGEST)
    return F.normalize(finite, dim=1)


def _to_storage(values: Tensor, kept: Tensor, dtype: torch.dtype) -> Tensor:
    """Clamp to the range of ``dtype`` and cast, with zeros for objects that are not kept."""
    limit = min(torch.finfo(dtype).max, torch.finfo(torch.float32).max)
    values = values.float().nan_to_num(0.0, limit, -limit).clamp(-limit, limit)
    return torch.where(kept.view(-1, *[1] * (values.ndim - 1)), values, 0.0).to(dtype)


def _floating_dtype(dtype: str | torch.dtype) -> torch.dtype:
    resolved = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(resolved, torch.dtype) or not resolved.is_floating_point:
        raise ValueError(
            "Expected `dtype` to be a floating type of torch, such as 'float16' or 'float32', "
            f"but got {dtype!r}."
        )
    return resolved
