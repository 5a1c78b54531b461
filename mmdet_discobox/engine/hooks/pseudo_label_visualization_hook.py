"""Hook that draws the refined masks of the teacher during training."""

from __future__ import annotations

from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdet_discobox.models.detectors import pseudo_label_images
from mmdet_discobox.visualization import draw_pseudo_labels

from .model_access import require_part, unwrap


@HOOKS.register_module()
class PseudoLabelVisualizationHook(Hook):
    """Send drawings of the current batch to the backends of mmengine's visualizer.

    Each drawing shows an image with its boxes, the student's masks and the teacher's refined masks,
    see :func:`draw_pseudo_labels`. It is named ``pseudo_labels_0``, ``pseudo_labels_1``, ... The
    hook does not change the training: the weights are bit-identical to those without the hook.

    Args:
        interval: iterations between two drawings of the batch.
        max_images: number of images of the batch to draw.

    Raises:
        ValueError: if ``interval`` or ``max_images`` is below 1.
        TypeError: at the start of training, if the model has no structured teacher.
    """

    # after the updates of the teacher network and the gates
    priority = "LOW"

    def __init__(self, interval: int = 500, max_images: int = 2) -> None:
        for name, value in (("interval", interval), ("max_images", max_images)):
            if value < 1:
                raise ValueError(f"Expected `{name}` to be at least 1 but got {value}.")
        self.interval = interval
        self.max_images = max_images

    def before_train(self, runner: Runner) -> None:
        """Check that the model has a structured teacher."""
        require_part(self, runner, "structured_teacher")

    @master_only
    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw the first images of the batch, every ``interval`` iterations."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        records = pseudo_label_images(unwrap(runner), data_batch, limit=self.max_images)
        for index, record in enumerate(records):
            drawing = draw_pseudo_labels(record)
            runner.visualizer.add_image(f"pseudo_labels_{index}", drawing, step=runner.iter + 1)
