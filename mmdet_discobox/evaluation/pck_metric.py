"""PCK of transferred key points as a registered metric."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from .arrays import Flags, Integers, to_array
from .pck import average_pck, correct_points, reference_length, resize_factors, transfer_errors
from .pck_protocols import PROTOCOLS, check_choice

#: class, number of correct points at each alpha, number of points
PairCounts = tuple[str, list[int], int]


@METRICS.register_module()
class PCKMetric(BaseMetric):
    """Percentage of correct key points over a set of pairs, by a published or custom protocol.

    Each pair is reduced to a few counts when it is processed. Pairs without a key point visible in
    both images are excluded, with a warning.

    A sample is a mapping with the keys of :meth:`KeypointPair.to_sample` (``class_name``,
    ``visible`` and, for ``source`` and ``target``, ``_points``, ``_size``, ``_box``) and
    ``predicted_points`` ``(K, 2)``: the points transferred to the image ``compared_in``, in pixels
    of the file, NaN for points without a prediction. ``predicted_in``, the name of that image, is
    checked if it is there.

    The results ``PCK@0.1`` and ``PCK@0.1/<class>`` are in [0, 1], or NaN without visible key
    points. The result of a class is the mean over its pairs if ``average`` is "pairs", else over
    its points.

    Args:
        protocol: key of :data:`~.pck_protocols.PROTOCOLS`; the next five arguments override its
            settings.
        resize: "isotropic" or "square".
        length: "img", "bbox" or "keypoints".
        average: "pairs", "points", "classes" or "classes_by_pairs".
        compared_in: "source" or "target".
        strict: whether an error equal to the threshold is wrong.
        alphas: thresholds as fractions of the length.
        **kwargs: ``collect_device``, ``collect_dir`` and ``prefix`` of the parent.

    Attributes:
        protocol: the resulting :class:`~.pck_protocols.PCKProtocol`.

    Raises:
        ValueError: if an argument is not one of its choices, or a sample is incomplete or has
            points in the other image.
    """

    default_prefix = "correspondence"

    def __init__(
        self,
        protocol: str = "scot",
        *,
        resize: str | None = None,
        length: str | None = None,
        average: str | None = None,
        compared_in: str | None = None,
        strict: bool | None = None,
        alphas: Sequence[float] = (0.05, 0.1, 0.15),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("protocol", protocol, tuple(PROTOCOLS))
        if not alphas or not all(alpha > 0 for alpha in alphas):
            raise ValueError(f"Expected `alphas` above 0, but got {alphas!r}.")
        choices = {
            "resize": resize,
            "length": length,
            "average": average,
            "compared_in": compared_in,
            "strict": strict,
        }
        changes: dict[str, Any] = {k: value for k, value in choices.items() if value is not None}
        self.protocol = replace(PROTOCOLS[protocol], **changes)
        self.alphas = tuple(alphas)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Count the correct points of a batch of pairs.

        Args:
            data_batch: not used.
            data_samples: samples as described above.

        Raises:
            ValueError: if a sample is incomplete, or its shapes disagree.
        """
        self.results.extend(self._count(sample) for sample in data_samples)

    def compute_metrics(self, results: list[PairCounts]) -> dict[str, float]:
        """Average over pairs, points or classes.

        Args:
            results: counts of all pairs, from all ranks.

        Returns:
            The results described above.
        """
        classes, correct, points = zip(*results, strict=True) if results else ((), (), ())
        names, labels = np.unique(np.array(classes, dtype=str), return_inverse=True)
        counts = (
            np.array(correct, np.int64).reshape(-1, len(self.alphas)),
            np.array(points, np.int64),
            labels,
        )
        counted = counts[1] > 0
        self._warn_of_excluded(int((~counted).sum()), len(results))
        in_class = "pairs" if self.protocol.average == "pairs" else "points"
        values = self._averages("", self.protocol.average, counts, counted)
        for label, name in enumerate(names):
            values |= self._averages(f"/{name}", in_class, counts, counted & (labels == label))
        return values

    def _count(self, sample: Mapping[str, Any]) -> PairCounts:
        side, rules = self.protocol.compared_in, self.protocol
        self._check_keys(sample)
        visible = to_array(sample["visible"], bool)
        target, predicted = (to_array(sample[k]) for k in (f"{side}_points", "predicted_points"))
        size, box = (sample.get(f"{side}_{field}") for field in ("size", "box"))
        factors = resize_factors(rules.resize, size)
        errors = transfer_errors(predicted, target, factors=factors)
        if visible.shape != errors.shape:
            raise ValueError(
                f"Expected `visible` of shape {errors.shape}, but got {visible.shape}."
            )
        length = reference_length(
            rules.length, size=size, box=box, points=target[visible], factors=factors
        )
        hits = correct_points(
            errors[visible], length=length, alphas=self.alphas, strict=rules.strict
        )
        return str(sample["class_name"]), hits.sum(axis=1).tolist(), int(visible.sum())

    def _check_keys(self, sample: Mapping[str, Any]) -> None:
        points = f"{self.protocol.compared_in}_points"
        needed = ("class_name", "visible", points, "predicted_points")
        missing = [key for key in needed if key not in sample]
        if missing:
            raise ValueError(
                f"Expected a sample with {', '.join(needed)}, but {', '.join(missing)} is missing. "
                "Pass KeypointPair.to_sample() together with the transferred `predicted_points`."
            )
        side = self.protocol.compared_in
        if sample.get("predicted_in", side) != side:
            raise ValueError(
                f"Expected points that are transferred to the {side}, where the protocol compares "
                f"them, but got points in the {sample['predicted_in']}. Set "
                f"compared_in='{side}' of the KeypointTransfer."
            )

    def _averages(
        self, suffix: str, average: str, counts: tuple[Integers, ...], chosen: Flags
    ) -> dict[str, float]:
        correct, points, labels = (values[chosen] for values in counts)
        fractions = average_pck(average, correct=correct, points=points, labels=labels)
        pairs = zip(self.alphas, fractions.tolist(), strict=True)
        return {f"PCK@{alpha:g}{suffix}": value for alpha, value in pairs}

    @staticmethod
    def _warn_of_excluded(excluded: int, pairs: int) -> None:
        if excluded:
            print_log(
                f"{excluded} of {pairs} pairs have no key point visible in both images and are "
                "excluded.",
                logger="current",
                level=logging.WARNING,
            )
