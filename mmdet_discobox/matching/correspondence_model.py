"""A detector as mmdet's test script runs it on pairs of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.registry import MODELS, TASK_UTILS
from mmdet.utils import ConfigType
from mmengine.model import BaseModel

from .image_describer import ImageDescriber
from .matchers import build_matcher


@MODELS.register_module()
class CorrespondenceModel(BaseModel):
    """Predicts what a task asks of a pair of images; its checkpoints are those of the detector.

    Args:
        detector: config of the detector.
        describer: arguments of :class:`.ImageDescriber`, with the test ``pipeline`` of the
            detector: images are read here, not by the data set.
        task: config of a :class:`.KeypointTransfer` or a :class:`.MultiObjectMatching`.
        matcher: arguments of :func:`.build_matcher`.
    """

    def __init__(
        self,
        detector: ConfigType,
        *,
        describer: Mapping[str, Any],
        task: ConfigType,
        matcher: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.detector = MODELS.build(detector)
        self.matcher = build_matcher(**matcher)
        describe = ImageDescriber(self.detector, **describer)
        self.task = TASK_UTILS.build(task, default_args=dict(describe=describe))

    def forward(self, item: Sequence[Any], mode: str = "predict") -> list[dict[str, Any]]:
        """Do the task for a batch.

        Args:
            item: items of a ``KeypointPairDataset`` or an ``ObjectPairDataset``.
            mode: there is none but ``'predict'``.

        Returns:
            A sample for the task's metric for each.
        """
        return [self.task(one, self.matcher) for one in item]

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Take the weights of a detector's checkpoint for those of ``detector``."""
        inner = f"{prefix}detector."
        for key in [key for key in state_dict if not key.startswith(inner)]:
            state_dict[inner + key.removeprefix(prefix)] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
