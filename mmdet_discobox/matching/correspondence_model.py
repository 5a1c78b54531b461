"""A model that predicts correspondence in mmdet's test script."""

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
    """Predict the correspondence of image pairs with a detector, from its own checkpoints.

    Args:
        detector: config of the detector.
        describer: arguments of :class:`.ImageDescriber`, including the test ``pipeline`` of the
            detector: the model reads the images, not the data set.
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
        """Predict a batch.

        Args:
            item: items of a ``KeypointPairDataset`` or an ``ObjectPairDataset``.
            mode: ``'predict'``; there is no other mode.

        Returns:
            One sample per item, for the metric of the task.
        """
        return [self.task(one, self.matcher) for one in item]

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Load the checkpoint of a detector into ``detector``."""
        self.task.forget_images()
        inner = f"{prefix}detector."
        for key in [key for key in state_dict if not key.startswith(inner)]:
            state_dict[inner + key.removeprefix(prefix)] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
