#!/usr/bin/env bash
# Makes the environment that `make demo`, `make test` and `make lint` run in, and does nothing when
# it is already made. An interrupted run is mended by the next one. All variables are optional:
#
#   STACK       whose mmcv, mmengine and mmdet: stock (default), or onedl, the maintained fork
#   VENV        folder of the environment, without spaces (default .venv, or .venv-onedl); one that exists
#               is completed, not replaced
#   SETUP=skip  use VENV exactly as it is
#   PYTHON      the interpreter to make it with (default: the first suitable of python3.11, 3.12, 3.10)
#   TORCH       the torch to install, for instance torch==2.5.1 (remembered in the environment)
#   TORCH_ARGS  further arguments of pip for torch, for instance an index of CUDA builds (remembered)
#   PIP_ARGS    further arguments of pip for every installation
#   MAX_JOBS    compilers that run side by side (default: one per core; each wants about 1.5 GB)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

DEFAULT_TORCH='torch==2.13.0'

say() { printf '[setup] %s\n' "$*"; }

die() {
  printf '[setup] error: %s\n' "$@" >&2
  exit 1
}

# What `pip check` may say. mim asks for opendatalab, which only `mim download --dataset` calls, and
# which asks for a setuptools too old for torch. So mim is installed without it.
KNOWN_CONFLICTS='^(openmim|onedl-mim) [^ ]+ requires opendatalab, which is not installed\.$'
STACK=${STACK:-stock}
case $STACK in
  stock) mmcv=mmcv mim=openmim venv=.venv pins=(requirements/constraints.txt) ;;
  onedl)
    mmcv=onedl-mmcv mim=onedl-mim venv=.venv-onedl pins=(requirements/constraints{-onedl,}.txt)
    # This package asks for the stock names; the fork has the same modules under its own.
    KNOWN_CONFLICTS+='|^mmdet-discobox [^ ]+ requires (mmcv|mmdet|mmengine), which is not installed\.$'
    ;;
  *) die "Expected STACK=stock or STACK=onedl, but got STACK=$STACK." ;;
esac

VENV=${VENV:-$venv}
[[ $VENV != *[[:space:]]* ]] || die "Expected VENV without spaces, which make cannot handle, but got VENV='$VENV'."
state=$VENV/.discobox  # made_for: this script made VENV, for that stack and torch; choice; stamp; log
py=$VENV/bin/python

torch_choice() {
  if [ -n "${TORCH:-}${TORCH_ARGS:-}" ]; then
    # shellcheck disable=SC2086  # unquoted words are joined by single spaces
    echo ${TORCH:-$DEFAULT_TORCH} ${TORCH_ARGS:-}
  else
    cat "$state/choice" 2>/dev/null || echo "$DEFAULT_TORCH"
  fi
}

# Of several pins of a package the first counts: a stack's own go before those that all share.
all_pins() { awk -F == '/^[^#]/ && !seen[$1]++' "${pins[@]}"; }

# Everything that decides what the environment contains; the stamp is a copy of it.
inputs() {
  pwd
  echo "$made_for"
  cat "$VENV/pyvenv.cfg" 2>/dev/null || true
  sed '/^\[tool\./,$d' pyproject.toml
  grep '^__version__' mmdet_discobox/__init__.py
  # Another installation of the checkout puts copies where link_mim put links.
  readlink "$VENV"/lib/python3*/site-packages/mmdet_discobox/.mim/* || true
  all_pins
  cat scripts/setup_env.sh
}

minor_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# Says nothing if the interpreter can make the environment, else why not.
unsuitable() {
  "$1" - 2>/dev/null <<'PY' || echo 'does not run'
import importlib.util, os, sys, sysconfig

header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
name = "python%d.%d" % sys.version_info[:2]
if not (3, 10) <= sys.version_info[:2] < (3, 13):
    print("is Python %d.%d; 3.10, 3.11 or 3.12 is needed" % sys.version_info[:2])
elif not all(map(importlib.util.find_spec, ("venv", "ensurepip"))):
    print("has no venv module (on Debian and Ubuntu: apt install %s-venv)" % name)
elif not os.path.exists(header):
    print("has no C headers, %s is missing (on Debian and Ubuntu: apt install %s-dev)" % (header, name))
PY
}

find_python() {
  local candidate reason reasons=() candidates=(python3.11 python3.12 python3.10 python3)
  [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
  for candidate in "${candidates[@]}"; do
    if ! command -v "$candidate" >/dev/null; then
      reasons+=("  $candidate: not found")
      continue
    fi
    reason=$(unsuitable "$candidate")
    if [ -z "$reason" ]; then
      # The interpreter itself: an active VENV comes first in PATH, and may be about to be replaced.
      "$candidate" -c 'import os, sys; print(os.path.realpath(sys.executable))'
      return
    fi
    reasons+=("  $candidate: $reason")
  done
  die 'no suitable Python. Name one with PYTHON=/path/to/python3.11. Looked at:' "${reasons[@]}"
}

check_compiler() {
  local compiler=${CXX:-g++}
  "$compiler" -std=c++17 -x c++ - -o /dev/null <<<'int main() { return 0; }' 2>/dev/null ||
    die "mmcv's operators need a C++17 compiler, and '$compiler' does not work." \
      'On Debian and Ubuntu: apt install g++. Another compiler is chosen with CC and CXX.'
}

heartbeat() {
  local start=$SECONDS done_of
  while sleep 30 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
    done_of=$(grep -oE '^ *\[[0-9]+/[0-9]+\]' "$state/log" | tail -n 1 | tr -d ' ' || true)
    say "  ... busy for $(((SECONDS - start) / 60)) min $(((SECONDS - start) % 60)) s" \
      "${done_of:+of compiling: $done_of files}"
  done
}

# step TITLE COMMAND...: the command's output goes to the log; a line every 30 s says it is alive.
step() {
  say "$1"
  : >"$state/log"
  heartbeat 9<&- &
  beat=$!
  trap 'kill "$beat" 2>/dev/null || true' EXIT
  trap 'say "Interrupted; the same command goes on from here."; exit 130' INT TERM
  if ! "${@:2}" >"$state/log" 2>&1; then
    tail -n 40 "$state/log" >&2
    ! grep -qE 'code=137|Killed' "$state/log" || say 'A compiler was killed: if memory ran out, try MAX_JOBS=1.'
    die "failed: $1" "The end of $state/log stands above. Once mended, the same command goes on from here."
  fi
  kill "$beat" 2>/dev/null || true
  wait "$beat" 2>/dev/null || true
}

install() {
  all_pins >"$state/constraints.txt"
  # shellcheck disable=SC2086  # PIP_ARGS holds words
  "$py" -m pip install --no-input --disable-pip-version-check -c "$state/constraints.txt" ${PIP_ARGS:-} "$@"
}

# The mark comes first and the new pip last, so whatever is cut short in between is made anew.
make_venv() {
  local python=$1
  say "Making $VENV with $python ($("$python" -V))"
  mkdir -p "$state"
  echo unfinished >"$state/made_for"
  find "$VENV" -mindepth 1 -maxdepth 1 ! -name .discobox -exec rm -rf {} +
  "$python" -m venv "$VENV"
  step 'Installing pip' install pip
  echo "$made_for" >"$state/made_for"
}

# What an interrupted pip leaves: folders named ~..., and metadata without RECORD, written last.
remove_half_installed() {
  "$py" - <<'PY'
import pathlib, shutil, sysconfig

site = pathlib.Path(sysconfig.get_paths()["purelib"])
unrecorded = [path for path in site.glob("*.dist-info") if not (path / "RECORD").is_file()]
for path in [*site.glob("~*"), *unrecorded]:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
PY
}

venv_is_stale() {
  [ "$(cat "$state/made_for")" != "$made_for" ] || ! "$py" -m pip --version >/dev/null 2>&1 ||
    { [ -n "${PYTHON:-}" ] && [ "$(minor_version "$PYTHON")" != "$(minor_version "$py")" ]; }
}

prepare_venv() {
  local python reason
  if [ -e "$state/made_for" ] || [ ! -e "$VENV" ]; then
    if [ ! -e "$VENV" ] || venv_is_stale; then
      python=$(find_python)
      make_venv "$python"
    else
      remove_half_installed
    fi
    return
  fi
  reason=$(unsuitable "$py")
  [ -z "$reason" ] || die "$py $reason." 'It was not made by this script: mend it, remove it, or choose another VENV.'
  mkdir -p "$state"
}

install_torch() {
  # shellcheck disable=SC2086  # the choice holds words
  install $torch
}

# opencv-python wants libGL, which servers and containers often lack; the headless build has the
# same modules, and keeping the metadata of the other satisfies mmcv and mmengine.
install_opencv() {
  install opencv-python && { "$py" -c 'import cv2' || install --no-deps opencv-python-headless; }
}

has_nvcc() { command -v nvcc >/dev/null || [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; }

# mmcv compiles for CUDA as soon as torch sees a GPU; without nvcc that would fail.
install_mmcv() {
  has_nvcc || export CUDA_VISIBLE_DEVICES=
  MMCV_WITH_OPS=1 install -v --no-build-isolation "$@" "$mmcv"
}

# pip's cache does not know which torch a wheel of mmcv was compiled for, nor whether with CUDA.
mmcv_works() {
  "$py" - <<'PY'
import torch
from mmcv.ops import get_compiling_cuda_version, nms
from torch.utils.cpp_extension import CUDA_HOME

nms(torch.tensor([[0.0, 0.0, 4.0, 4.0]] * 2), torch.tensor([0.9, 0.8]), 0.5)
if torch.cuda.is_available() and CUDA_HOME and get_compiling_cuda_version() == "not available":
    raise SystemExit("mmcv was compiled without CUDA")
PY
}

install_mmcv_that_works() {
  local cores minutes
  cores=$(getconf _NPROCESSORS_ONLN)
  export MAX_JOBS=${MAX_JOBS:-$cores}
  has_nvcc || ! command -v nvidia-smi >/dev/null ||
    say 'There is a GPU but no nvcc: mmcv is compiled for the CPU alone. For the GPU install the CUDA toolkit, remove' \
      "$VENV and call this again."
  minutes="$((1 + 17 / MAX_JOBS)) to $((2 + 38 / MAX_JOBS))"
  step "Installing $mmcv: compiling takes $minutes minutes (more with CUDA), nothing if pip has it cached" \
    install_mmcv
  mmcv_works >"$state/log" 2>&1 ||
    step 'The cached mmcv does not work with this torch: compiling it anew' \
      install_mmcv --no-cache-dir --no-deps --force-reinstall
  step 'Trying an operator of mmcv' mmcv_works
}

# What this package and its extras ask for, without the three that the fork provides.
other_requirements() {
  "$py" - <<'PY'
from importlib.metadata import requires
from packaging.requirements import Requirement

for need in map(Requirement, requires("mmdet_discobox")):
    if need.name not in ("mmcv", "mmdet", "mmengine"):
        need.marker = None
        print(need)
PY
}

# pip copies what `mim` looks for even when it installs an editable package, and copies grow stale. Links into the
# checkout do not. RECORD names the links alone: pip must neither remove nor overwrite files through them.
link_mim() {
  "$py" - <<'PY'
import pathlib, shutil, sysconfig

site = pathlib.Path(sysconfig.get_paths()["purelib"])
(record,) = site.glob("mmdet_discobox-*.dist-info/RECORD")
prefix = "mmdet_discobox/.mim/"
names = sorted(path.name for path in (site / prefix).iterdir())
lines = [line for line in record.read_text().splitlines() if not line.startswith(prefix)]
record.write_text("".join(f"{line}\n" for line in [*lines, *(f"{prefix}{name},," for name in names)]))
shutil.rmtree(site / prefix)
(site / prefix).mkdir()
for name in names:
    (site / prefix / name).symlink_to(pathlib.Path(name).resolve(strict=True))
PY
}

install_project() {
  if [ "$STACK" = stock ]; then
    install --no-build-isolation -e '.[demo,dev,study]'
    return
  fi
  # With its dependencies it would bring the stock stack, which writes into the same folders.
  install --no-build-isolation --no-deps -e . && other_requirements >"$state/requirements.txt" &&
    install --no-build-isolation onedl-mmdetection -r "$state/requirements.txt"
}

install_mim() {
  install click colorama model-index pandas requests rich tabulate && install --no-deps "$mim"
}

check_conflicts() {
  local found
  found=$("$py" -m pip --disable-pip-version-check check |
    grep -vE -e "$KNOWN_CONFLICTS" -e '^No broken requirements' || true)
  [ -z "$found" ] || die 'pip check reports:' "$found"
}

main() {
  if [ "${SETUP:-}" = skip ]; then
    [ -x "$py" ] || die "SETUP=skip, but there is no $py"
    return
  fi
  exec 9<"${pins[0]}"
  ! command -v flock >/dev/null || flock 9
  torch=$(torch_choice)
  made_for=$torch
  [ "$STACK" = stock ] || made_for="$STACK $torch"
  if [ -x "$py" ] && [ "$(inputs)" = "$(cat "$state/stamp" 2>/dev/null)" ] &&
    { [ -z "${PYTHON:-}" ] || [ "$(minor_version "$PYTHON")" = "$(minor_version "$py")" ]; }; then
    return
  fi
  check_compiler
  prepare_venv
  rm -f "$state/stamp"
  [ -z "${TORCH:-}${TORCH_ARGS:-}" ] || echo "$torch" >"$state/choice"
  step 'Installing the build tools' install setuptools wheel ninja psutil hatchling editables numpy
  step "Installing $torch" install_torch
  step 'Installing OpenCV' install_opencv
  install_mmcv_that_works
  step 'Installing MMDetection, this package and its tools' install_project
  step "Linking what $mim looks for" link_mim
  step "Installing $mim" install_mim
  check_conflicts
  inputs >"$state/stamp"
  say "Done: $VENV"
}

main
