"""Configs as the text of Python-style ones has them: types with their modules."""

from __future__ import annotations

from typing import Any

from mmdet.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS

_REGISTRIES = (MODELS, DATASETS, TRANSFORMS, METRICS, HOOKS)


def with_class_paths(value: Any, *, package: str = "") -> Any:
    """Replace names of registered classes by paths, of those of a package or of all."""
    if isinstance(value, (list, tuple)):
        return type(value)(with_class_paths(item, package=package) for item in value)
    if not isinstance(value, dict):
        return value
    changed = {key: with_class_paths(item, package=package) for key, item in value.items()}
    found = [r.module_dict.get(changed.get("type")) for r in _REGISTRIES]
    kind = next(filter(None, found), None)
    if kind is not None and kind.__module__.startswith(package):
        changed["type"] = f"{kind.__module__}.{kind.__name__}"
    return changed
