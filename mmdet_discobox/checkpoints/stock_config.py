"""Write the config of a trained student with the classes of mmdet, which need no import."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmdet.registry import DATASETS, HOOKS, METRICS, MODELS, TASK_UTILS, TRANSFORMS
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor

from mmdet_discobox.models.networks import DiscoBoxLabeler
from mmdet_discobox.utils.types import type_name

from .checkpoint_files import shape_mismatches
from .start_weights import without_start_weights

_REGISTRIES = (MODELS, TASK_UTILS, DATASETS, TRANSFORMS, METRICS, HOOKS)
_PACKAGE = __name__.partition(".")[0]
#: what testing, inference and export read of a config
_KEPT = (
    "default_scope", "model", "test_dataloader", "test_cfg", "env_cfg", "default_hooks",
    "vis_backends", "visualizer", "log_processor", "log_level",
)  # fmt: skip
#: what a stock class predicts otherwise than the class of this package
_DIFFERENCES = {
    "DiscoBoxSOLOv2Head": "Boxes are zeros: stock SOLOv2 predicts none. Masks, scores and labels "
    "are the same.",
    "DiscoBoxRTMDetInsHead": "mmdet swaps the scales of width and height when it resizes masks: "
    "they are the same only where both sides of an image were scaled equally.",
    "RescoringProtonet": "Boxes and masks are the same only if images fill the padded batch: "
    "mmdet scales others wrongly.",
}


def stock_config(config: Config) -> Config:
    """Convert the config of a training to one for testing, inference and export.

    Every class of this package is replaced by the class of mmdet that it inherits from, which has
    the same layers and keys, and arguments that only this package has are left out. Classes without
    a stock parent stay, and then ``custom_imports`` does as well: ``EfficientNetLite``, and
    ``DCNResNet`` with plain blocks between the deformable ones.

    Args:
        config: config of a training.

    Returns:
        A config of the model and of its test data; nothing about the training is left.

    Raises:
        ValueError: if the detector has no stock class.
    """
    own = _own(config.model)
    if own is not None and (_twin(own) is None or issubclass(own, DiscoBoxLabeler)):
        raise ValueError(
            f"Expected a detector that inherits from one of mmdet but got {own.__name__}, which "
            "mmdet does not have. Publish it without a stock config; it needs `custom_imports`."
        )
    stock = {key: _stock(without_start_weights(config[key])) for key in _KEPT if key in config}
    if hooks := stock.get("default_hooks"):  # those of this package serve trainings alone
        own_hooks = {key for key, hook in hooks.items() if _own(hook) is not None}
        stock["default_hooks"] = {k: hook for k, hook in hooks.items() if k not in own_hooks}
    if config.get("test_dataloader"):  # mmdeploy reads the name that mmdet's configs give it
        stock["test_pipeline"] = _stock(list(get_test_pipeline_cfg(config)))
    if config.get("test_evaluator"):
        stock["test_evaluator"] = _evaluator(config.test_evaluator)
    given = (config.get("custom_imports") or {}).get("imports") or []
    modules = [given] if isinstance(given, str) else list(given)
    imports = [module for module in modules if module.partition(".")[0] != _PACKAGE]
    if remaining_classes(stock):
        imports.append(_PACKAGE)
    if imports:
        stock["custom_imports"] = dict(imports=imports, allow_failed_imports=False)
    return Config(stock)


def remaining_classes(config: Config | Mapping[str, Any]) -> list[str]:
    """Return the names of this package's classes that a config still uses."""
    own = _own_classes()
    return sorted({name for name in _types(dict(config.items())) if name in own})


def stock_differences(config: Config) -> list[str]:
    """Return sentences about what the stock detector predicts otherwise, in this order of parts.

    Args:
        config: config of the training.
    """
    own = _own_classes()
    parents = {
        base.__name__ for name in _types(config.model) if name in own for base in own[name].__mro__
    }
    notes = [note for name, note in _DIFFERENCES.items() if name in parents]
    if (config.model.get("mask_head") or {}).get("rescoring") is not None:
        notes.append("Masks have no `mask_scores`, by which YOLACT++ ranks them: `scores` do.")
    if config.model.get("prediction_refiner") is not None:
        notes.append("Masks are not refined: the stock detector has no `prediction_refiner`.")
    return notes


def stock_config_text(config: Config) -> str:
    """Return the text of :func:`stock_config`, with its differences as comments."""
    stock = stock_config(config)
    notes = ["Config of a published student, with classes of mmdet.", *stock_differences(config)]
    if names := remaining_classes(stock):
        notes.append(f"mmdet_discobox must be installed: mmdet has no {', '.join(names)}.")
    return "".join(f"# {note}\n" for note in notes) + stock.pretty_text


def keep_stock_weights(weights: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Leave out weights that the stock detector has no layers for: the re-scoring of YOLACT++.

    Args:
        weights: published weights.
        config: result of :func:`stock_config`.

    Raises:
        ValueError: if the detector needs weights that are missing, or of another shape, or has
            classes that are not registered.
    """
    init_default_scope(config.get("default_scope", "mmdet"))
    try:
        detector = MODELS.build(config.model)
    except KeyError as error:
        raise ValueError(
            f"Expected classes of mmdet and of this package, but {error.args[0]} The modules of "
            "`custom_imports` are not imported, because a checkpoint may come from anyone. Publish "
            "without a stock config."
        ) from error
    expected = {key: value.shape for key, value in detector.state_dict().items()}
    mismatches = shape_mismatches(weights, expected)
    if wrong := sorted([*(expected.keys() - weights.keys()), *mismatches]):
        raise ValueError(
            f"Expected the weights to fit the stock {type_name(config.model['type'])} of the "
            f"config, but {len(wrong)} are missing or of another shape, first {wrong[0]!r}. Does "
            "`meta.cfg` of the checkpoint belong to its weights?"
        )
    return {key: value for key, value in weights.items() if key in expected}


def _own_classes() -> dict[str, type]:
    """Return the registered classes of this package by their names."""
    return {
        name: own
        for registry in _REGISTRIES
        for name, own in registry.module_dict.items()
        if own.__module__.partition(".")[0] == _PACKAGE
    }


def _own(settings: Any) -> type | None:
    """Return the class of this package that a part of a config builds, if it is of this package."""
    kind = settings.get("type") if isinstance(settings, Mapping) else None
    return None if kind is None else _own_classes().get(type_name(kind))


def _types(value: Any) -> Iterator[str]:
    """Yield the names of all classes in a config."""
    if isinstance(value, Mapping):
        if "type" in value:
            yield type_name(value["type"])
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _types(item)


def _stock(value: Any) -> Any:
    """Replace the classes of this package in a part of a config."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_stock, value))
    if not isinstance(value, Mapping):
        return value
    settings = {key: _stock(item) for key, item in value.items()}
    own = _own(settings)
    if own is None:
        return settings
    twin = _twin(own)
    if twin is None or _builds_other_layers(own, twin, settings):
        pretrained = _parameters(own).get("pretrained")
        if pretrained is not None and isinstance(pretrained.default, bool):
            settings["pretrained"] = False  # the published weights take their place
        return settings
    accepted = _parameters(twin)
    kept = {key: item for key, item in settings.items() if key in accepted or key == "_scope_"}
    defaults = {
        key: parameter.default
        for key, parameter in _parameters(own).items()
        if key in accepted and parameter.default != accepted[key].default
    }
    return {"type": twin.__name__, **defaults, **_without_own(kept, accepted)}


def _without_own(
    settings: Mapping[str, Any], accepted: Mapping[str, inspect.Parameter]
) -> dict[str, Any]:
    """Leave out parts of this package that have a default, such as losses, unused by testing."""
    return {
        key: item
        for key, item in settings.items()
        if not (_own(item) is not None and accepted[key].default is not inspect.Parameter.empty)
    }


def _builds_other_layers(own: type, twin: type, settings: Mapping[str, Any]) -> bool:
    """Check whether a backbone has an argument that mmdet's lacks, in use."""
    if not own.__module__.endswith(".models.backbones"):
        return False
    accepted, named = _parameters(twin), _parameters(own)
    return any(
        settings.get(key, parameter.default) != parameter.default
        for key, parameter in named.items()
        if key not in accepted
    )


def _twin(own: type) -> type | None:
    """Return the class of mmdet that a class of this package inherits from."""
    bases = [base for base in own.__mro__ if base.__module__.partition(".")[0] == "mmdet"]
    return next(
        (base for base in bases if any(base is r.get(base.__name__) for r in _REGISTRIES)), None
    )


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return the named parameters of a constructor and of those that it passes arguments on to."""
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        own = inspect.signature(vars(base)["__init__"]).parameters.values()
        named = [p for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)][1:]
        found = {**{parameter.name: parameter for parameter in named}, **found}
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own):
            break
    return found


def _evaluator(evaluator: Any) -> Any:
    """Replace metrics that mmdet does not have by COCO's; their jsons are COCO jsons."""
    if isinstance(evaluator, (list, tuple)):
        return [_evaluator(item) for item in evaluator]
    own = _own(evaluator)
    if own is not None and _twin(own) is None:
        return dict(type="CocoMetric", ann_file=evaluator.get("ann_file"), metric="segm")
    return _stock(evaluator)
