"""Check the versions of mmengine, mmcv and mmdet before mmdet is imported.

Stock mmdet asserts on the version of mmcv at import, and an mmcv without compiled operators fails
with ``No module named 'mmcv._ext'`` inside a model. :func:`check_versions` raises an error with
install commands before that. It reads the metadata of the installed distributions and never imports
mmdet.

A maintained fork provides the same three modules under other distribution names
(``onedl-mmengine``, ``onedl-mmcv``, ``onedl-mmdetection``) and is also supported, with two
exceptions: stock mmdet does not accept the fork's mmcv, and a module must not be installed from
both, because they overwrite each other's files. :func:`distribution_of` returns the names.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import warnings
from collections.abc import Callable

from packaging.specifiers import SpecifierSet

Lookup = Callable[[str], "str | None"]
Problem = tuple[str, str]  # description, and the command that fixes it

_FORK = "onedl-"
# Module -> distributions that provide it, stock first and fork last -> supported versions.
_SUPPORTED = {
    "mmengine": {
        "mmengine": ">=0.10,<1",
        "mmengine-lite": ">=0.10,<1",
        "onedl-mmengine": ">=0.10,<1",
    },
    "mmcv": {"mmcv": ">=2.0.0rc4,<2.2.0", "onedl-mmcv": ">=2.3,<2.4"},
    "mmdet": {"mmdet": ">=3.2.0,<3.4", "onedl-mmdetection": ">=3.5,<3.6"},
}
_UNUSABLE = {
    "mmcv-lite": "which is mmcv without its compiled operators: `pip uninstall mmcv-lite` first",
    "mmcv-full": "which is mmcv 1.x: `pip uninstall mmcv-full` first",
}
# mmcv's setup imports torch; a wheel in pip's cache may have been built for another torch.
_BUILD = "MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir"
_COMMANDS = {"mmengine": "pip install", "mmcv": _BUILD, "mmdet": "pip install"}


def check_versions(*, lookup: Lookup | None = None) -> None:
    """Check that mmengine, mmcv with its operators, and mmdet are installed and compatible.

    Args:
        lookup: maps the name of a distribution to its version, or to None if it is not installed.
            The default reads the metadata of this environment.

    Raises:
        ImportError: if a distribution is missing or has an unsupported version, or mmcv has no
            compiled operators. The message lists found and expected versions, and install commands.
    """
    lookup = lookup or installed_version
    names = [*_UNUSABLE, *(name for supported in _SUPPORTED.values() for name in supported)]
    versions = {name: version for name in names if (version := lookup(name)) is not None}
    found = [_version_problem(module, versions) for module in _SUPPORTED]
    problems = [problem for problem in found if problem] or _operator_problems(versions)
    if problems:
        wrong = "".join(f"\n- {text}" for text, _ in problems)
        lines = "".join(f"\n    {line}" for _, line in problems)
        raise ImportError(
            f"Expected other packages for mmdet_discobox:{wrong}\nInstall them:{lines}"
        )


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None.

    Args:
        distribution: name on the package index, for example ``"onedl-mmcv"``.

    Returns:
        The version, for example ``"2.3.6"``, or None if it is not installed.
    """
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def warn_of_missing_cuda() -> None:
    """Warn if a GPU is available, but mmcv's operators were compiled without CUDA.

    mmcv compiles for CUDA only if it finds a GPU and a compiler. Otherwise its operators work on
    the CPU, but raise ``implementation for device cuda:0 not found`` on the default device.
    """
    torch, operators = map(importlib.import_module, ("torch", "mmcv._ext"))
    compiled_for = operators.get_compiling_cuda_version()
    if torch.cuda.is_available() and compiled_for == "not available":
        name = distribution_of("mmcv")
        warnings.warn(
            f"A GPU is available, but mmcv's operators were compiled without CUDA and fail on it. "
            f"With the CUDA toolkit of torch {torch.version.cuda}: FORCE_CUDA=1 {_BUILD} "
            f"--force-reinstall --no-deps '{name}=={installed_version(name)}'. To use the CPU, set "
            "CUDA_VISIBLE_DEVICES= before the command.",
            stacklevel=3,
        )


def distribution_of(module: str, *, lookup: Lookup | None = None) -> str:
    """Return the name of the distribution that provides a module, as used by `mim`.

    Args:
        module: ``"mmengine"``, ``"mmcv"`` or ``"mmdet"``.
        lookup: see :func:`check_versions`.

    Returns:
        The stock name, or the fork's if the fork is installed instead.
    """
    lookup = lookup or installed_version
    names = list(_SUPPORTED[module])
    return next((name for name in names if lookup(name) is not None), names[0])


def _version_problem(module: str, versions: dict[str, str]) -> Problem | None:
    """Check the distributions that provide one module; None if they are supported."""
    supported = _SUPPORTED[module]
    wanted = " or ".join(f"{name}{specifier}" for name, specifier in supported.items())
    installed = {name: version for name, version in versions.items() if name in supported}
    found = [f"{name} {version}" for name, version in installed.items()]
    forked = any(name.startswith(_FORK) for name in versions)
    wrong = [
        f"{name} {version}"
        for name, version in installed.items()
        if not SpecifierSet(supported[name]).contains(version, prereleases=True)
    ]
    if not installed:
        unusable = [name for name in _UNUSABLE if name.startswith(module) and name in versions]
        wrong = [f"{name} {versions[name]}, {_UNUSABLE[name]}" for name in unusable] or ["none"]
    elif len({name.startswith(_FORK) for name in installed}) == 2:
        wrong = [" and ".join(found) + ", which overwrite each other's files"]
    elif module == "mmcv" and "onedl-mmcv" in installed and "mmdet" in versions:
        wanted = f"mmcv{supported['mmcv']}, the only one that mmdet {versions['mmdet']} accepts"
        wrong = [f"onedl-mmcv {installed['onedl-mmcv']}, which goes with onedl-mmdetection"]
        forked = False
    if not wrong:
        return None
    name = list(supported)[-1 if forked else 0]
    line = f"{_COMMANDS[module]} '{name}{supported[name]}'"
    if installed.keys() - {name}:  # files of another distribution would remain
        line = f"pip uninstall -y {' '.join(installed)} && {line}"
    return f"{module}: expected {wanted}, but found {', '.join(wrong)}", line


def _operator_problems(versions: dict[str, str]) -> list[Problem]:
    """Check that mmcv's compiled operators can be imported."""
    try:
        # The operators link against torch's libraries, which must be loaded first.
        importlib.import_module("torch")
        importlib.import_module("mmcv._ext")
    except ImportError as error:
        text = (
            "mmcv: expected its compiled operators (`mmcv._ext`), but importing them failed with "
            f"`{type(error).__name__}: {error}`; it was installed without them, or they were built "
            "for another torch"
        )
        name = "onedl-mmcv" if "onedl-mmcv" in versions else "mmcv"
        return [(text, f"{_BUILD} --force-reinstall --no-deps '{name}=={versions[name]}'")]
    return []
