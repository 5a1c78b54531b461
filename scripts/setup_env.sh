#!/usr/bin/env bash
# Create the environment of `make demo`, `make test` and `make lint`, unless it exists already. After an
# interruption, run it again. All variables are optional:
#
#   STACK       origin of mmcv, mmengine and mmdet: stock (default), or onedl, the maintained fork
#   VENV        folder of the environment, without spaces (default .venv, or .venv-onedl); an existing
#               one is completed, not replaced
#   SETUP=skip  use VENV without changes
#   PYTHON      interpreter (default: the first suitable one of python3.11, 3.12, 3.10)
#   TORCH       torch to install, for instance torch==2.5.1 (stored in the environment)
#   TORCH_ARGS  further arguments of pip for torch, for instance an index of CUDA builds (stored)
#   PIP_ARGS    further arguments of pip for every installation
#   MAX_JOBS    number of parallel compilers (default: one per core; each needs about 1.5 GB)
#   CFLAGS, CXXFLAGS  further flags of the compiler for mmcv (default -g0, no debug symbols)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

DEFAULT_TORCH='torch==2.13.0'

say() { printf '[setup] %s\n' "$*"; }

die() {
  printf '[setup] error: %s\n' "$@" >&2
  exit 1
}

# Accepted reports of `pip check`. mim requires opendatalab, which only `mim download --dataset` uses,
# and which requires a setuptools too old for torch. mim is therefore installed without it.
KNOWN_CONFLICTS='^(openmim|onedl-mim) [^ ]+ requires opendatalab, which is not installed\.$'
STACK=${STACK:-stock}
case $STACK in
  stock) mmcv=mmcv mim=openmim venv=.venv pins=(requirements/constraints.txt) ;;
  onedl)
    mmcv=onedl-mmcv mim=onedl-mim venv=.venv-onedl pins=(requirements/constraints{-onedl,}.txt)
    # This package requires the stock names; the fork has the same modules under other names.
    KNOWN_CONFLICTS+='|^mmdet-discobox [^ ]+ requires (mmcv|mmdet|mmengine), which is not installed\.$'
    ;;
  *) die "Expected STACK=stock or STACK=onedl, but got STACK=$STACK." ;;
esac

VENV=${VENV:-$venv}
[[ $VENV != *[[:space:]]* ]] || die "Expected VENV without spaces, which make cannot handle, but got VENV='$VENV'."
state=$VENV/.discobox  # made_for: stack and torch of a VENV created by this script; choice; stamp; log
py=$VENV/bin/python

torch_choice() {
  if [ -n "${TORCH:-}${TORCH_ARGS:-}" ]; then
    # shellcheck disable=SC2086  # unquoted words are joined by single spaces
    echo ${TORCH:-$DEFAULT_TORCH} ${TORCH_ARGS:-}
  else
    cat "$state/choice" 2>/dev/null || echo "$DEFAULT_TORCH"
  fi
}

# The first of several pins of a package is used: those of a stack precede the shared ones.
all_pins() { awk -F == '/^[^#]/ && !seen[$1]++' "${pins[@]}"; }

# All inputs that determine the content of the environment; the stamp is a copy of them.
inputs() {
  pwd
  echo "$made_for"
  cat "$VENV/pyvenv.cfg" 2>/dev/null || true
  sed '/^\[tool\./,$d' pyproject.toml
  grep '^__version__' mmdet_discobox/__init__.py
  # Another installation of the checkout replaces the links of link_mim by copies.
  readlink "$VENV"/lib/python3*/site-packages/mmdet_discobox/.mim/* || true
  all_pins
  cat scripts/setup_env.sh
}

minor_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# Print the reason if the interpreter cannot create the environment.
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
      # Resolve links: an active VENV is the first in PATH, and may be replaced.
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

# step TITLE COMMAND...: write the command's output to the log, and print a line every 30 s.
step() {
  say "$1"
  : >"$state/log"
  heartbeat 9<&- &
  beat=$!
  trap 'kill "$beat" 2>/dev/null || true' EXIT
  trap 'say "Interrupted; the same command resumes."; exit 130' INT TERM
  if ! "${@:2}" >"$state/log" 2>&1; then
    tail -n 40 "$state/log" >&2
    ! grep -qE 'code=137|Killed' "$state/log" || say 'A compiler was killed: if memory ran out, try MAX_JOBS=1.'
    die "failed: $1" "The end of $state/log stands above. Fix the error and run the same command again."
  fi
  kill "$beat" 2>/dev/null || true
  wait "$beat" 2>/dev/null || true
}

install() {
  all_pins >"$state/constraints.txt"
  # shellcheck disable=SC2086  # PIP_ARGS holds words
  "$py" -m pip install --no-input --disable-pip-version-check -c "$state/constraints.txt" ${PIP_ARGS:-} "$@"
}

# The mark is written first and pip is updated last, so an interrupted environment is created again.
make_venv() {
  local python=$1
  say "Creating $VENV with $python ($("$python" -V))"
  mkdir -p "$state"
  echo unfinished >"$state/made_for"
  find "$VENV" -mindepth 1 -maxdepth 1 ! -name .discobox -exec rm -rf {} +
  "$python" -m venv "$VENV"
  step 'Installing pip' install pip
  echo "$made_for" >"$state/made_for"
}

# Remove the remains of an interrupted pip: folders named ~..., and metadata without RECORD.
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
  [ -z "$reason" ] || die "$py $reason." 'It was not created by this script: fix it, remove it, or choose another VENV.'
  mkdir -p "$state"
}

install_torch() {
  # shellcheck disable=SC2086  # the choice holds words
  install $torch
}

# opencv-python requires libGL, which servers and containers often lack. The headless build has the
# same modules; the metadata of opencv-python stays installed for mmcv and mmengine.
install_opencv() {
  install opencv-python && { "$py" -c 'import cv2' || install --no-deps opencv-python-headless; }
}

has_nvcc() { command -v nvcc >/dev/null || [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; }

# mmcv compiles for CUDA if torch finds a GPU, which fails without nvcc.
# Without debug symbols, which Python's own flags ask for, compiling takes less time and memory.
install_mmcv() {
  has_nvcc || export CUDA_VISIBLE_DEVICES=
  export CFLAGS=${CFLAGS--g0} CXXFLAGS=${CXXFLAGS--g0}
  MMCV_WITH_OPS=1 install -v --no-build-isolation "$@" "$mmcv"
}

# pip's cache does not record the torch of a compiled wheel of mmcv, nor whether it has CUDA.
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
      "$VENV and run this again."
  minutes="$((1 + 6 / MAX_JOBS)) to $((2 + 18 / MAX_JOBS))"
  step "Installing $mmcv: compiling takes $minutes minutes (more with CUDA), nothing if pip has it cached" \
    install_mmcv
  mmcv_works >"$state/log" 2>&1 ||
    step 'The cached mmcv does not work with this torch: compiling it again' \
      install_mmcv --no-cache-dir --no-deps --force-reinstall
  step 'Testing an operator of mmcv' mmcv_works
}

# Requirements of this package and its extras, without the three that the fork provides, and without mmpretrain, which
# needs a torchvision for the installed torch.
other_requirements() {
  "$py" - <<'PY'
from importlib.metadata import requires
from packaging.requirements import Requirement

for need in map(Requirement, requires("mmdet_discobox")):
    if need.name not in ("mmcv", "mmdet", "mmengine") and "mmpretrain" not in str(need.marker):
        need.marker = None
        print(need)
PY
}

# Even for an editable package, pip copies the files that `mim` reads, and copies become outdated: replace them by links
# into the checkout. RECORD lists the links alone, so that pip neither removes nor overwrites files through them.
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
    install --no-build-isolation -e '.[demo,deploy,dev,study]'
    return
  fi
  # Its dependencies include the stock stack, which installs into the same folders.
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
  step "Linking the files that $mim reads" link_mim
  step "Installing $mim" install_mim
  check_conflicts
  inputs >"$state/stamp"
  say "Done: $VENV"
}

main
