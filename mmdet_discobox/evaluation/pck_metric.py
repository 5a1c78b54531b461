"""PCK of transferred key points as a metric of MMEngine's evaluator."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from numpy.typing import NDArray

from .pck import correct_points, reference_length, stretch, transfer_errors
from .pck_averages import average_pck
from .pck_protocols import PROTOCOLS, check_choice

PairScore = tuple[str, list[int], int]  # class, correct points at each alpha, points


@METRICS.register_module()
class PCKMetric(BaseMetric):
    """Percentage of correct key points over a set of pairs, by a published protocol or any other.

    Each pair is judged as it comes; what is kept of it are a few numbers. Pairs without a key point
    visible in both pictures do not count, and are told of in a warning.

    A sample is a mapping with what :meth:`KeypointPair.to_sample` gives (``class_name``,
    ``visible`` and, for ``source`` and ``target``, ``_points``, ``_size``, ``_box``) and
    ``predicted_points`` ``(K, 2)``: the points transferred to the picture ``compared_in``, in
    pixels of the file, NaN where there is none.

    The results are called ``PCK@0.1`` and ``PCK@0.1/<class>``, and are in [0, 1] or NaN if no key
    point counts. That of a class is the mean over its pairs if ``average`` is "pairs", else over
    its points.

    Args:
        protocol: Key of :data:`~.pck_protocols.PROTOCOLS`; what it says about PF-PASCAL holds
            unless one of the next five says otherwise.
        resize: "isotropic" or "square".
        length: "img", "bbox" or "keypoints".
        average: "pairs", "points", "classes" or "classes_by_pairs".
        compared_in: "source" or "target".
        strict: Whether an error of exactly the threshold is wrong.
        alphas: Thresholds as fractions of the length.
        **kwargs: ``collect_device``, ``collect_dir`` and ``prefix`` of the parent.

    Attributes:
        protocol: The :class:`~.pck_protocols.PCKProtocol` in force.

    Raises:
        ValueError: If an argument is none of its choices, or a sample is incomplete.
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
        changes: dict[str, Any] = {key: c for key, c in choices.items() if c is not None}
        self.protocol = replace(PROTOCOLS[protocol], **changes)
        self.alphas = tuple(alphas)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Judge a batch of pairs.

        Args:
            data_batch: Not used.
            data_samples: Samples as described above.

        Raises:
            ValueError: If a sample lacks something, or its shapes do not fit.
        """
        self.results.extend(self._judge(sample) for sample in data_samples)

    def compute_metrics(self, results: list[PairScore]) -> dict[str, float]:
        """Average over pairs, points or classes.

        Args:
            results: What :meth:`process` kept, of all ranks.

        Returns:
            The results as described above.
        """
        classes, correct, points = zip(*results, strict=True) if results else ((), (), ())
        names, labels = np.unique(np.array(classes, dtype=str), return_inverse=True)
        counts = (
            np.array(correct, np.int64).reshape(-1, len(self.alphas)),
            np.array(points, np.int64),
            labels,
        )
        counted = counts[1] > 0
        self._warn_of_uncounted(int((~counted).sum()), len(results))
        in_class = "pairs" if self.protocol.average == "pairs" else "points"
        values = self._named("", self.protocol.average, counts, counted)
        for label, name in enumerate(names):
            values |= self._named(f"/{name}", in_class, counts, counted & (labels == label))
        return values

    def _judge(self, sample: Mapping[str, Any]) -> PairScore:
        side, rules = self.protocol.compared_in, self.protocol
        self._check_keys(sample)
        visible = _array(sample["visible"]).astype(bool)
        truth, predicted = (_array(sample[k]) for k in (f"{side}_points", "predicted_points"))
        size, box = (sample.get(f"{side}_{field}") for field in ("size", "box"))
        factors = stretch(rules.resize, size)
        errors = transfer_errors(predicted, truth, factors=factors)
        if visible.shape != errors.shape:
            raise ValueError(
                f"Expected `visible` of shape {errors.shape}, but got {visible.shape}."
            )
        length = reference_length(
            rules.length, size=size, box=box, points=truth[visible], factors=factors
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
                "Pass KeypointPair.to_sample() and the transferred `predicted_points`."
            )

    def _named(
        self, suffix: str, average: str, counts: tuple[NDArray, ...], which: NDArray[np.bool_]
    ) -> dict[str, float]:
        correct, points, labels = (values[which] for values in counts)
        fractions = average_pck(average, correct=correct, points=points, labels=labels)
        pairs = zip(self.alphas, fractions.tolist(), strict=True)
        return {f"PCK@{alpha:g}{suffix}": value for alpha, value in pairs}

    @staticmethod
    def _warn_of_uncounted(uncounted: int, pairs: int) -> None:
        if uncounted:
            print_log(
                f"{uncounted} of {pairs} pairs have no key point that is visible in both pictures: "
                "they do not count.",
                logger="current",
                level=logging.WARNING,
            )


def _array(values: Any) -> NDArray:
    """Turn a tensor of any device, an array or a list into an array."""
    return values.detach().cpu().numpy() if torch.is_tensor(values) else np.asarray(values)
