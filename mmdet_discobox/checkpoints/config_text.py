"""Read the text of a config without executing it."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Any, TypeGuard

from mmengine.config import Config

_NAMES = {"inf": math.inf, "nan": math.nan}


def parse_config(text: str) -> Config:
    """Read the text that a training stores in ``meta.cfg``, or that ``Config.dump`` writes.

    ``Config.fromstring`` would execute it, and the text of a checkpoint may be anyone's.

    Args:
        text: assignments of literals and of ``dict(key=value)`` to names.

    Raises:
        ValueError: if the text contains anything else.
    """
    try:
        statements = ast.parse(text).body
        return Config(dict(_assigned(statement) for statement in statements))
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            "Expected the text of a config, in which values are assigned to names, but it contains "
            f"something else: {error}."
        ) from error


def _assigned(statement: ast.stmt) -> tuple[str, Any]:
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        (target,) = statement.targets
        if isinstance(target, ast.Name):
            return target.id, _value(statement.value)
    raise ValueError(f"line {statement.lineno} is no assignment")


def _value(node: ast.expr) -> Any:
    containers: dict[type, Callable[..., Any]] = {ast.List: list, ast.Tuple: tuple, ast.Set: set}
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return containers[type(node)](map(_value, node.elts))
    if isinstance(node, ast.Dict) and all(node.keys):
        keys = [_value(key) for key in node.keys if key is not None]
        return dict(zip(keys, map(_value, node.values), strict=True))
    if _is_dict_call(node):
        named = {keyword.arg: _value(keyword.value) for keyword in node.keywords}
        return {
            key: value for part in map(_value, node.args) for key, value in part.items()
        } | named
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.Name) and node.id in _NAMES:
        return _NAMES[node.id]
    return ast.literal_eval(node)


def _is_dict_call(node: ast.expr) -> TypeGuard[ast.Call]:
    """Check for ``dict(key=value, ...)``, or ``dict({"a-key": value})`` for other keys."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "dict"
        and all(isinstance(part, ast.Dict) for part in node.args)
        and all(keyword.arg for keyword in node.keywords)
    )
