"""Hook that starts a training from a checkpoint whose heads have other shapes."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor

from mmdet_discobox.models.teachers import ADDITIONS

from .model_access import unwrap
from .resume_hook import resumes, runner_argument

#: groups of keys that a line of the log names
_NAMED = 8


@HOOKS.register_module()
class PretrainedStartHook(Hook):
    """Load the weights of ``load_from`` that fit, and report the others in one line of the log.

    For checkpoints of stock detectors, such as those that mmdet trained on COCO: a head for another
    number of classes is left out, and everything else loads. mmengine does the same, with a warning
    that names each key of the teacher network, too. The teacher network and the structured teacher
    are not reported, because a new training starts both anew: the former as a copy of the student
    that the checkpoint started. A resumed training and a test load as mmengine does.

    Raises:
        ValueError: at the start of training, if no weight of the checkpoint fits.
    """

    # after EMAHook, which exchanges the weights of a checkpoint
    priority = "VERY_LOW"

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Replace the weights of the checkpoint by a complete state of the model."""
        trains = isinstance(runner.optim_wrapper, (OptimWrapper, OptimWrapperDict))
        if resumes(runner) or not trains:
            return
        model = unwrap(runner)
        source = runner_argument(runner, "load_from")
        state = model.state_dict()
        raw = checkpoint.get("state_dict", checkpoint)
        given = {key.removeprefix("module."): value for key, value in raw.items()}
        fitting = {
            key: value
            for key, value in given.items()
            if _is_own(key) and key in state and value.shape == state[key].shape
        }
        if not fitting:
            raise ValueError(
                f"Expected `load_from` to be a checkpoint of a {type(model).__name__} or of its "
                f"stock twin, but no weight of '{source}' fits; it has {_named(given)}. Weights of "
                "a backbone alone belong into `model.backbone.init_cfg`."
            )
        complete: OrderedDict[str, Tensor] = OrderedDict({**state, **fitting})
        versions = {**getattr(state, "_metadata", {}), **getattr(raw, "_metadata", {})}
        complete._metadata = versions  # type: ignore[attr-defined]
        checkpoint["state_dict"] = complete
        runner.logger.info(f"Start from '{source}': {_report(given, state, fitting)}")


def _is_own(key: str) -> bool:
    """Whether a key belongs to the task network."""
    return not key.startswith(ADDITIONS)


def _report(
    given: Mapping[str, Tensor], state: Mapping[str, Tensor], fitting: Mapping[str, Tensor]
) -> str:
    """Describe which weights are loaded and which are not, in one line."""
    own = {key for key in state if _is_own(key) and not key.endswith("num_batches_tracked")}
    others = {key: value for key, value in given.items() if _is_own(key) and key not in fitting}
    parts = [f"{len(own & fitting.keys())} of {len(own)} weights are loaded."]
    if reshaped := [key for key in others if key in state]:
        shapes = [
            f"{key} {tuple(given[key].shape)} instead of {tuple(state[key].shape)}"
            for key in reshaped
        ]
        parts.append(f"Left out, with other shapes: {_listed(shapes)}.")
    if missing := own - given.keys():
        parts.append(f"Not in the checkpoint, initialised anew: {_named(missing)}.")
    if unknown := [key for key in others if key not in state]:
        parts.append(f"Not in this network, left out: {_named(unknown)}.")
    return " ".join(parts)


def _named(keys: Iterable[str]) -> str:
    """Count keys by their module, two levels deep."""
    counts = Counter(".".join(key.split(".")[:-1][:2]) or key for key in sorted(keys))
    return _listed([f"{name} ({count})" for name, count in counts.items()])


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
