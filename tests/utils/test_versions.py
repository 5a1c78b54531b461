"""The version check: an unsupported stack raises one ImportError with install commands."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings

import pytest

from mmdet_discobox.utils import versions
from mmdet_discobox.utils.versions import check_versions, distribution_of, installed_version

STOCK = {"mmengine": "0.10.7", "mmcv": "2.1.0", "mmdet": "3.3.0"}
FORK = {"onedl-mmengine": "0.10.12", "onedl-mmcv": "2.3.6", "onedl-mmdetection": "3.5.1"}


@pytest.fixture
def operators_present(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every import of the check succeed, so that a test depends only on versions."""
    monkeypatch.setattr(versions.importlib, "import_module", lambda name: None)


@pytest.mark.usefixtures("operators_present")
@pytest.mark.parametrize(
    "installed",
    [
        STOCK,
        FORK,
        STOCK | {"mmdet": "3.2.0", "mmcv": "2.0.0rc4", "mmengine": "0.10.0"},
        STOCK | {"mmcv": "2.1.0+cu121"},
        {"mmengine-lite": "0.10.7", "mmcv": "2.1.0", "mmdet": "3.3.0"},
        {"mmengine": "0.10.7", "mmcv": "2.1.0", "onedl-mmdetection": "3.5.1"},
    ],
)
def test_supported_stacks_pass(installed: dict[str, str]) -> None:
    check_versions(lookup=installed.get)


@pytest.mark.usefixtures("operators_present")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"mmdet": None},
            r"mmdet: expected mmdet>=3.2.0,<3.4 or onedl-mmdetection.*, but found none",
        ),
        ({"mmdet": "3.1.0"}, r"mmdet: expected mmdet>=3.2.0,<3.4 .*, but found mmdet 3.1.0"),
        ({"mmdet": "3.4.0"}, r"but found mmdet 3.4.0"),
        ({"mmdet": "2.28.2"}, r"but found mmdet 2.28.2"),
        ({"mmcv": None}, r"mmcv: expected mmcv>=2.0.0rc4,<2.2.0 .*, but found none"),
        ({"mmcv": "2.2.0"}, r"but found mmcv 2.2.0"),
        ({"mmcv": "2.0.0rc3"}, r"but found mmcv 2.0.0rc3"),
        (
            {"mmcv": None, "mmcv-lite": "2.1.0"},
            r"mmcv-lite 2.1.0, which is .* without its",
        ),
        ({"mmcv": None, "mmcv-full": "1.7.2"}, r"mmcv-full 1.7.2, which is mmcv 1.x"),
        ({"mmengine": None}, r"mmengine: expected mmengine>=0.10,<1 .*, but found none"),
        ({"mmengine": "0.9.1"}, r"but found mmengine 0.9.1"),
        ({"mmengine": "1.0.0"}, r"but found mmengine 1.0.0"),
        (
            {"mmcv": None, "onedl-mmcv": "2.3.6"},
            r"the only one that mmdet 3.3.0 accepts, but",
        ),
        ({"mmcv": None, "onedl-mmcv": "2.4.0"}, r"but found onedl-mmcv 2.4.0"),
        (FORK, r"found mmdet 3.3.0 and onedl-mmdetection 3.5.1, which overwrite each other's"),
    ],
)
def test_rejects_unsupported_stacks(change: dict[str, str | None], message: str) -> None:
    with pytest.raises(ImportError, match=message):
        check_versions(lookup=(STOCK | change).get)


@pytest.mark.usefixtures("operators_present")
@pytest.mark.parametrize(
    ("change", "message", "line"),
    [
        (
            {"onedl-mmdetection": None},
            r"mmdet: expected .* or onedl-mmdetection.*, but found none",
            "pip install 'onedl-mmdetection>=3.5,<3.6'",
        ),
        (
            {"onedl-mmdetection": "3.4.7"},
            r"but found onedl-mmdetection 3.4.7",
            "pip install 'onedl-mmdetection>=3.5,<3.6'",
        ),
        (
            {"onedl-mmengine": None},
            r"mmengine: .*, but found none",
            "pip install 'onedl-mmengine>=0.10,<1'",
        ),
        (
            {"onedl-mmcv": "2.4.0"},
            r"but found onedl-mmcv 2.4.0",
            f"{versions._BUILD} 'onedl-mmcv>=2.3,<2.4'",
        ),
        (  # what `pip install mmdet_discobox` without --no-deps makes of the fork's environment
            {"mmengine": "0.10.7"},
            r"found mmengine 0.10.7 and onedl-mmengine 0.10.12, which overwrite each other's",
            "pip uninstall -y mmengine onedl-mmengine && pip install 'onedl-mmengine>=0.10,<1'",
        ),
        (
            {"onedl-mmdetection": None, "mmdet": "3.3.0"},
            r"expected mmcv>=2.0.0rc4,<2.2.0, the only one that mmdet 3.3.0 accepts, but",
            f"pip uninstall -y onedl-mmcv && {versions._BUILD} 'mmcv>=2.0.0rc4,<2.2.0'",
        ),
    ],
)
def test_rejects_mixed_stacks_with_a_fix(
    change: dict[str, str | None], message: str, line: str
) -> None:
    with pytest.raises(ImportError, match=message) as caught:
        check_versions(lookup=(FORK | change).get)
    assert str(caught.value).splitlines()[-1].strip() == line


@pytest.mark.parametrize(
    ("installed", "name"), [(STOCK, "mmdet"), (FORK, "onedl-mmdetection"), ({}, "mmdet")]
)
def test_distribution_name_for_mim(installed: dict[str, str], name: str) -> None:
    assert distribution_of("mmdet", lookup=installed.get) == name
    assert installed_version(distribution_of("mmdet")) is not None


@pytest.mark.usefixtures("operators_present")
def test_one_message_lists_all_problems_and_install_lines() -> None:
    with pytest.raises(ImportError) as caught:
        check_versions(lookup={"mmdet": "3.0.0", "mmcv": "2.2.0"}.get)
    message = str(caught.value)
    assert all(found in message for found in ("found none", "mmcv 2.2.0", "mmdet 3.0.0"))
    assert all(f"'{name}>=" in message for name in ("mmengine", "mmcv", "mmdet"))
    assert message.count("pip install") == 3


def test_only_unsupported_modules_get_an_install_line() -> None:
    with pytest.raises(ImportError) as caught:
        check_versions(lookup=(STOCK | {"mmdet": "3.1.0"}).get)
    assert str(caught.value).splitlines()[-1].strip() == "pip install 'mmdet>=3.2.0,<3.4'"


@pytest.mark.parametrize(
    ("installed", "requirement"), [(STOCK, "mmcv==2.1.0"), (FORK, "onedl-mmcv==2.3.6")]
)
def test_rejects_mmcv_without_operators(
    monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], requirement: str
) -> None:
    def without_operators(name: str) -> None:
        if name == "mmcv._ext":
            raise ModuleNotFoundError("No module named 'mmcv._ext'")

    monkeypatch.setattr(versions.importlib, "import_module", without_operators)
    with pytest.raises(ImportError, match=r"operators.*No module named 'mmcv._ext'") as caught:
        check_versions(lookup=installed.get)
    line = str(caught.value).splitlines()[-1]
    assert "MMCV_WITH_OPS=1 pip install" in line
    assert "--force-reinstall" in line  # without it pip finds the requirement already satisfied
    assert line.endswith(f"'{requirement}'")


def test_operators_are_not_loaded_when_versions_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    monkeypatch.setattr(versions.importlib, "import_module", imported.append)
    with pytest.raises(ImportError, match="mmcv 2.2.0"):
        check_versions(lookup=(STOCK | {"mmcv": "2.2.0"}).get)
    assert imported == []


def test_reads_metadata_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: {**STOCK, "mmdet": "3.9.9"}.get(name, "0")
    )
    with pytest.raises(ImportError, match=r"mmdet 3\.9\.9"):
        check_versions()


def test_installed_version() -> None:
    assert installed_version("pytest") == pytest.__version__
    assert installed_version("no-such-distribution-of-mmdet-discobox") is None


def test_this_environment_passes_without_importing_mmdet() -> None:
    code = (
        "import runpy, sys\n"
        f"runpy.run_path({versions.__file__!r})['check_versions']()\n"
        "sys.exit(any(name.split('.')[0] == 'mmdet' for name in sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("sees_gpu", "compiled", "warned"),
    [(True, "not available", True), (True, "12.6", False), (False, "not available", False)],
)
def test_warns_of_operators_without_cuda(
    monkeypatch: pytest.MonkeyPatch, sees_gpu: bool, compiled: str, warned: bool
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: sees_gpu)
    monkeypatch.setattr("mmcv._ext.get_compiling_cuda_version", lambda: compiled)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        versions.warn_of_missing_cuda()
    assert ["FORCE_CUDA=1" in str(warning.message) for warning in caught] == [True] * warned
