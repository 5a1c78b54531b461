"""Hook that lets a killed training resume from a whole checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from mmdet.registry import HOOKS
from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from mmdet_discobox.utils.last_checkpoint import repair_last_checkpoint


@HOOKS.register_module()
class ResumeHook(Hook):
    """Resume from the newest whole checkpoint, and say so, if ``last_checkpoint`` names none.

    A kill during a save leaves half a checkpoint or an empty ``last_checkpoint``. The hook runs
    before mmengine reads that file, and only for ``--resume`` without a path.

    Without any checkpoint, a killed training starts again: mmdet's ``--resume`` has removed
    ``load_from`` from the config, so its weights are read from the file of the config.

    Attributes:
        start: these weights, if the training starts again from them; else None.
    """

    priority = "VERY_HIGH"  # before the teacher network copies the weights of the student
    start: str | None = None

    def before_run(self, runner: Runner) -> None:
        """Repair ``last_checkpoint`` in the first process."""
        if not runner_argument(runner, "resume") or runner_argument(runner, "load_from"):
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
        if not (Path(runner.work_dir) / "last_checkpoint").is_file():
            self.start = _load_from(runner)

    def before_train(self, runner: Runner) -> None:
        """Start from the weights of the config, if there is nothing to resume from."""
        if self.start is None:
            return
        runner.logger.warning(
            f"There is no checkpoint to resume from in '{runner.work_dir}': the training starts "
            f"from `load_from` of '{runner.cfg.filename}', '{self.start}'. If it was given on the "
            "command line, start without --resume."
        )
        runner.cfg.resume, runner.cfg.load_from = False, self.start
        runner.load_checkpoint(self.start)


def runner_argument(runner: Runner, name: Literal["resume", "load_from"]) -> Any:
    """Return an argument of a runner, which has it from its config or from its constructor."""
    # what `Runner(resume=True)` was given without a config, mmengine keeps in a private attribute
    return runner.cfg.get(name) or getattr(runner, f"_{name}", None)


def resumes(runner: Runner) -> bool:
    """Check whether a runner resumes, and does not start again for want of a checkpoint."""
    again = any(isinstance(hook, ResumeHook) and hook.start is not None for hook in runner.hooks)
    return bool(runner_argument(runner, "resume")) and not again


def _load_from(runner: Runner) -> str | None:
    """Return the weights that the file of the config names."""
    file = runner.cfg.filename
    if not (file and Path(file).is_file()):
        return None
    start = Config.fromfile(file, import_custom_modules=False).get("load_from")
    return start if isinstance(start, str) else None
