"""Hook that leaves a core to other programs."""

from __future__ import annotations

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdet_discobox.utils.threads import leave_a_core


@HOOKS.register_module()
class ThreadsHook(Hook):
    """Compute with one thread fewer than there are cores, for a training on a CPU.

    ``OMP_NUM_THREADS=N`` before the command chooses another number. See :func:`leave_a_core`.
    """

    def before_run(self, runner: Runner) -> None:
        """Set the number of threads."""
        runner.logger.info(f"{leave_a_core()} threads; OMP_NUM_THREADS chooses another number.")
