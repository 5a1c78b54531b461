"""Hook that lets a killed training resume from a whole checkpoint."""

from __future__ import annotations

from pathlib import Path

from mmdet.registry import HOOKS
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from mmdet_discobox.utils.last_checkpoint import repair_last_checkpoint


@HOOKS.register_module()
class ResumeHook(Hook):
    """Resume from the newest whole checkpoint, and say so, if ``last_checkpoint`` names none.

    A kill during a save leaves half a checkpoint or an empty ``last_checkpoint``. The hook runs
    before mmengine reads that file, and only for ``--resume`` without a path.
    """

    def before_run(self, runner: Runner) -> None:
        """Repair ``last_checkpoint`` in the first process."""
        if not runner.cfg.get("resume") or runner.cfg.get("load_from"):
            return
        if is_main_process():
            work_dir = Path(runner.work_dir)
            folders = [
                Path(hook.out_dir) / work_dir.name
                for hook in runner.hooks
                if isinstance(hook, CheckpointHook) and hook.out_dir and "://" not in hook.out_dir
            ]
            if message := repair_last_checkpoint(work_dir, folders):
                runner.logger.warning(message)
        barrier()
