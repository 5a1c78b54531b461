"""The wheel, the pins, the model index, and the errors of the set-up script."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import modelindex
import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmdet_discobox.utils import versions
from mmdet_discobox.utils.versions import check_versions

ROOT = Path(__file__).parents[1]
SETUP = ROOT / "scripts" / "setup_env.sh"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("mmdet_discobox-*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def requirements(wheel: zipfile.ZipFile) -> list[Requirement]:
    (path,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    requirements = Metadata.from_email(wheel.read(path), validate=False).requires_dist
    assert requirements
    return requirements


def _pins(file: str) -> dict[str, str]:
    """Pinned version of each package name in a file, torch included."""
    text = (ROOT / "requirements" / file).read_text()
    torch_pin = re.search(r"^DEFAULT_TORCH='(.*)'$", SETUP.read_text(), flags=re.MULTILINE)
    assert torch_pin is not None
    lines = [line.split("#")[0].strip() for line in [*text.splitlines(), torch_pin[1]]]
    pairs = [line.split("==") for line in lines if line]
    assert len({canonicalize_name(name) for name, _ in pairs}) == len(pairs)
    return {canonicalize_name(name): version for name, version in pairs}


STOCK_PINS = _pins("constraints.txt")
ONEDL_PINS = _pins("constraints-onedl.txt")


def _sources(folder: str) -> set[str]:
    """Files below a folder of the repository, without the caches of Python and the linters."""
    files = [file for file in (ROOT / folder).rglob("*") if file.is_file()]
    paths = {file.relative_to(ROOT).as_posix() for file in files}
    return {path for path in paths if not re.search(r"(^|/)(__pycache__|\.[^/]*)/", path)}


def test_wheel_carries_what_mim_looks_for(wheel: zipfile.ZipFile) -> None:
    prefix = "mmdet_discobox/.mim/"
    shipped = {name.removeprefix(prefix) for name in wheel.namelist() if name.startswith(prefix)}
    assert shipped == _sources("configs") | _sources("tools") | {"model-index.yml"}


def test_wheel_carries_the_whole_package(wheel: zipfile.ZipFile) -> None:
    shipped = {name for name in wheel.namelist() if name.startswith("mmdet_discobox/")}
    assert _sources("mmdet_discobox") <= shipped
    assert "mmdet_discobox/py.typed" in shipped
    assert not [name for name in wheel.namelist() if name.startswith(("tests/", "scripts/"))]


def test_every_model_of_the_index_has_its_config(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    mim_folder = tmp_path / "mmdet_discobox" / ".mim"
    index = modelindex.load(str(mim_folder / "model-index.yml"))
    index.build_models_with_collections()
    indexed = {model.config for model in index.models}
    assert indexed
    assert [config for config in indexed if not (mim_folder / config).is_file()] == []


@pytest.mark.parametrize("pins", [STOCK_PINS, STOCK_PINS | ONEDL_PINS], ids=["stock", "onedl"])
def test_every_requirement_is_pinned_inside_its_range(
    requirements: list[Requirement], pins: dict[str, str]
) -> None:
    unpinned = [str(need) for need in requirements if canonicalize_name(need.name) not in pins]
    assert unpinned == []
    outside = [
        f"{need} but {pins[canonicalize_name(need.name)]} is pinned"
        for need in requirements
        if not need.specifier.contains(pins[canonicalize_name(need.name)])
    ]
    assert outside == []


def test_a_plain_installation_wants_no_development_tools(requirements: list[Requirement]) -> None:
    plain = {need.name for need in requirements if need.marker is None}
    assert {"mmcv", "mmdet", "mmengine", "torch"} <= plain
    assert plain.isdisjoint({"openmim", "pytest", "ruff", "efficientnet-lite-pytorch"})


@pytest.mark.parametrize("pins", [STOCK_PINS, ONEDL_PINS], ids=["stock", "onedl"])
def test_the_pinned_stack_is_a_supported_one(
    pins: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions.importlib, "import_module", lambda name: None)
    check_versions(lookup=pins.get)


def test_the_forks_pins_are_those_that_differ() -> None:
    same = [pin for pin in ONEDL_PINS.items() if pin in STOCK_PINS.items()]
    assert same == [("torch", STOCK_PINS["torch"])]


def _failing_setup(tmp_path: Path, **variables: str) -> str:
    """Error text of the set-up script, which must fail and must not make an environment."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environment = {**kept, "VENV": str(tmp_path / "env"), **variables}
    result = subprocess.run(
        ["bash", str(SETUP)], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert not (tmp_path / "env").exists()
    return result.stderr


def _script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("exit 127", "does not run"),
        ("echo 'is Python 3.9; 3.10, 3.11 or 3.12 is needed'", "is Python 3.9; 3.10"),
    ],
)
def test_setup_names_the_fault_of_a_python(tmp_path: Path, body: str, reason: str) -> None:
    python = _script(tmp_path / "python", body)
    error = _failing_setup(tmp_path, PYTHON=python, CXX=_script(tmp_path / "c++", "exit 0"))
    assert "no suitable Python" in error
    assert f"{python}: {reason}" in error


def test_setup_names_a_python_that_is_not_there(tmp_path: Path) -> None:
    missing = str(tmp_path / "python")
    error = _failing_setup(tmp_path, PYTHON=missing, CXX=_script(tmp_path / "c++", "exit 0"))
    assert f"{missing}: not found" in error


def test_setup_names_a_compiler_that_does_not_work(tmp_path: Path) -> None:
    error = _failing_setup(tmp_path, CXX=_script(tmp_path / "c++", "exit 1"))
    assert "need a C++17 compiler" in error
    assert "apt install g++" in error


def test_setup_skip_wants_an_environment(tmp_path: Path) -> None:
    assert "SETUP=skip, but there is no" in _failing_setup(tmp_path, SETUP="skip")


def test_setup_names_the_stacks_that_there_are(tmp_path: Path) -> None:
    error = _failing_setup(tmp_path, STACK="mmlab")
    assert "Expected STACK=stock or STACK=onedl, but got STACK=mmlab." in error
