"""Check that mmengine, mmcv and mmdet are there, fit together and have their operators, before they are imported.

Stock mmdet asserts on the version of mmcv while it is being imported, and an mmcv without compiled operators fails
with ``No module named 'mmcv._ext'`` somewhere inside a model. :func:`check_versions` speaks first. It reads the
metadata of the installed distributions and never imports mmdet.

The same three modules also come from a maintained fork, under other distribution names (``onedl-mmengine``,
``onedl-mmcv``, ``onedl-mmdetection``). It is accepted too; only stock mmdet refuses the fork's mmcv.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable

from packaging.specifiers import SpecifierSet

Lookup = Callable[[str], "str | None"]

# Module -> the distributions that may provide it -> the versions of each that work. The first is the one to recommend.
_SUPPORTED = {
    "mmengine": {"mmengine": ">=0.10,<1", "mmengine-lite": ">=0.10,<1", "onedl-mmengine": ">=0.10,<1"},
    "mmcv": {"mmcv": ">=2.0.0rc4,<2.2.0", "onedl-mmcv": ">=2.3,<2.4"},
    "mmdet": {"mmdet": ">=3.2.0,<3.4", "onedl-mmdetection": ">=3.5,<3.6"},
}
_UNUSABLE = {
    "mmcv-lite": "which is mmcv without its compiled operators: `pip uninstall mmcv-lite` first",
    "mmcv-full": "which is mmcv 1.x: `pip uninstall mmcv-full` first",
}
_INSTALL = {
    "mmengine": "pip install 'mmengine>=0.10,<1'",
    "mmcv": "MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir 'mmcv>=2.0.0rc4,<2.2.0'",
    "mmdet": "pip install 'mmdet>=3.2.0,<3.4'",
}


def check_versions(*, lookup: Lookup | None = None) -> None:
    """Raise unless supported versions of mmengine, mmcv (with its operators) and mmdet are installed.

    Args:
        lookup: Maps the name of a distribution to its version, or to None if it is not installed. By default the
            metadata of this environment are asked.

    Raises:
        ImportError: If a distribution is missing or of the wrong version, or mmcv has no compiled operators. The
            message names everything found, everything wanted, and the lines to install it.
    """
    versions = _installed_versions(lookup or installed_version)
    problems = {module: text for module in _SUPPORTED if (text := _version_problem(module, versions))}
    if not problems and (text := _operator_problem()):
        problems["mmcv"] = text
    if problems:
        raise ImportError(_report(problems))


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None.

    Args:
        distribution: Its name on the package index, for example ``"onedl-mmcv"``.

    Returns:
        The version, for example ``"2.3.6"``, or None if it is not installed.
    """
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _installed_versions(lookup: Lookup) -> dict[str, str]:
    """Return the versions of all distributions of interest that are installed."""
    names = [name for distributions in _SUPPORTED.values() for name in distributions] + list(_UNUSABLE)
    return {name: version for name in names if (version := lookup(name)) is not None}


def _version_problem(module: str, versions: dict[str, str]) -> str | None:
    """Say what is wrong with the distributions that provide one module, or return None."""
    supported = _SUPPORTED[module]
    found = {name: version for name, version in versions.items() if name in supported}
    wanted = " or ".join(f"{name}{specifier}" for name, specifier in supported.items())
    if not found:
        unusable = [name for name in _UNUSABLE if name.startswith(f"{module}-") and name in versions]
        found_text = ", ".join(f"{name} {versions[name]}, {_UNUSABLE[name]}" for name in unusable) or "none"
        return f"{module}: expected {wanted}, but found {found_text}"
    for name, version in found.items():
        if not SpecifierSet(supported[name]).contains(version, prereleases=True):
            return f"{module}: expected {wanted}, but found {name} {version}"
    if module == "mmcv" and "onedl-mmcv" in found and "mmdet" in versions:
        return (
            f"mmcv: expected mmcv{supported['mmcv']}, the only one that mmdet {versions['mmdet']} accepts, but found "
            f"onedl-mmcv {found['onedl-mmcv']}; onedl-mmcv goes with onedl-mmdetection"
        )
    return None


def _operator_problem() -> str | None:
    """Say why mmcv's compiled operators cannot be loaded, or return None."""
    try:
        importlib.import_module("torch")  # The operators link against torch's libraries, which must be loaded first.
        importlib.import_module("mmcv._ext")
    except ImportError as error:
        return (
            "mmcv: expected its compiled operators (`mmcv._ext`), but importing them failed with "
            f"`{type(error).__name__}: {error}`; either mmcv was installed without a compiler (MMCV_WITH_OPS=0, "
            "mmcv-lite) or it was built for another torch than the installed one"
        )
    return None


def _report(problems: dict[str, str]) -> str:
    """Join the problems and the lines that mend them."""
    lines = ["mmdet_discobox does not fit the installed OpenMMLab packages.", *(f"- {text}" for text in problems.values())]
    lines += ["Install what is wanted with", *(f"    {_INSTALL[module]}" for module in problems)]
    return "\n".join(lines)
