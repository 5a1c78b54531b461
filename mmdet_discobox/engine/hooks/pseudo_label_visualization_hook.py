"""Show during the training what the teacher teaches."""

from __future__ import annotations

from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmdet_discobox.models.detectors import pseudo_label_images
from mmdet_discobox.visualization import draw_pseudo_labels


@HOOKS.register_module()
class PseudoLabelVisualizationHook(Hook):
    """Send pictures of the present batch to the backends of mmengine's visualizer.

    Each shows the picture with its boxes, the student's masks and the teacher's refined masks, see
    :func:`draw_pseudo_labels`, under the name ``pseudo_labels_0``, ``pseudo_labels_1``, ... A
    training with this hook gives the same weights, to the last bit, as one without.

    Args:
        interval: iterations between two looks.
        max_images: pictures of the batch to show.

    Raises:
        ValueError: if ``interval`` or ``max_images`` is below 1.
        TypeError: when the training starts, if the model has no structured teacher.
    """

    # After the teacher has moved and the gates were looked at.
    priority = "LOW"

    def __init__(self, interval: int = 500, max_images: int = 2) -> None:
        for name, value in (("interval", interval), ("max_images", max_images)):
            if value < 1:
                raise ValueError(f"Expected `{name}` to be at least 1 but got {value}.")
        self.interval = interval
        self.max_images = max_images

    def before_train(self, runner: Runner) -> None:
        """Check that there is a teacher to look at."""
        if getattr(_unwrap(runner), "structured_teacher", None) is None:
            raise TypeError(
                "Expected the model of PseudoLabelVisualizationHook to have a "
                f"`structured_teacher` but got {type(_unwrap(runner)).__name__} without one. "
                "Remove the hook."
            )

    @master_only
    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Every ``interval`` iterations, draw the first pictures of the batch."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        images = pseudo_label_images(_unwrap(runner), data_batch, limit=self.max_images)
        for index, taught in enumerate(images):
            picture = draw_pseudo_labels(taught)
            runner.visualizer.add_image(f"pseudo_labels_{index}", picture, step=runner.iter + 1)


def _unwrap(runner: Runner) -> Any:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model
