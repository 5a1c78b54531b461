"""The set-up script: its errors, and what `mim` finds in the environment that it makes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETUP = ROOT / "scripts" / "setup_env.sh"
MIM_FINDS = ("configs", "model-index.yml", "tools")


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


def test_setup_takes_a_python_whose_path_has_spaces(tmp_path: Path) -> None:
    python = _script(tmp_path / "my interpreter", "exit 127")
    error = _failing_setup(tmp_path, PYTHON=python, CXX=_script(tmp_path / "c++", "exit 0"))
    assert f"{python}: does not run" in error


def test_setup_refuses_an_environment_whose_path_has_spaces(tmp_path: Path) -> None:
    error = _failing_setup(tmp_path, VENV=str(tmp_path / "my env"), PYTHON="/none")
    assert "Expected VENV without spaces, which make cannot handle, but got VENV='/" in error
    assert not (tmp_path / "my env").exists()


def test_mim_finds_the_files_of_the_checkout_itself() -> None:
    package = distribution("mmdet_discobox")
    if not (Path(sys.prefix) / ".discobox" / "stamp").is_file():
        pytest.skip("this environment was not made by scripts/setup_env.sh")
    origin = json.loads(package.read_text("direct_url.json") or "{}")
    if origin != {"dir_info": {"editable": True}, "url": ROOT.as_uri()}:
        pytest.skip("another checkout, or a wheel, is installed in this environment")
    folder = Path(str(package.locate_file("mmdet_discobox/.mim")))
    found = {path.name: path.resolve() for path in folder.iterdir()}
    assert found == {name: ROOT / name for name in MIM_FINDS}


def _contents(folder: Path) -> dict[Path, bytes]:
    paths = [path for path in folder.rglob("*") if "__pycache__" not in path.parts]
    return {path: path.read_bytes() for path in paths if path.is_file()}


def test_pip_does_not_reach_through_the_links_for_mim(tmp_path: Path) -> None:
    pytest.importorskip("pip")
    environment = tmp_path / "env"
    venv.create(environment, symlinks=True)
    python = str(environment / "bin" / "python")
    # Inside the environment, where pip thinks all files its own; so it does everywhere with conda.
    checkout = environment / "src"
    checkout.mkdir()
    for name in ("mmdet_discobox", *MIM_FINDS, "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, checkout / name)
    contents = _contents(checkout)

    def run(*command: str) -> None:
        subprocess.run(command, cwd=checkout, check=True, capture_output=True)

    def pip(*arguments: str) -> None:
        run(sys.executable, "-m", "pip", "--python", python, *arguments)

    def install_and_link() -> None:
        pip("install", "--no-index", "--no-deps", "--force-reinstall", str(wheel))
        function = 'eval "$(sed -n "/^link_mim()/,/^}/p" "$1")"; py=$2; link_mim'
        run("bash", "-ec", function, "bash", str(SETUP), python)

    build = ("build", "-t", "wheel:editable", "-d", str(tmp_path))
    run(sys.executable, "-m", "hatchling", *build)
    (wheel,) = tmp_path.glob("*.whl")
    install_and_link()
    (folder,) = environment.glob("lib/python3*/site-packages/mmdet_discobox/.mim")
    links = {path.name: path.readlink() for path in folder.iterdir()}
    assert links == {name: checkout / name for name in MIM_FINDS}
    install_and_link()
    assert _contents(checkout) == contents
    pip("uninstall", "--yes", "mmdet_discobox")
    assert not folder.exists()
    assert _contents(checkout) == contents
