"""The allow-list: mmengine's checkpoints load, and files that execute code do not."""

from __future__ import annotations

import io
import json
import pickle
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from packaging.version import Version

from mmdet_discobox.utils import restricted_pickle, safe_globals
from mmdet_discobox.utils.safe_globals import history_buffer_getattr, register_safe_globals
from mmdet_discobox.utils.versions import distribution_of

needs_weights_only = pytest.mark.skipif(
    Version(torch.__version__).release < (2, 6),
    reason="torch < 2.6 does not load with weights_only by default",
)

# One fresh process, since this one may have registered: trains before it does, resumes after.
TRAIN_STOP_RESUME = """
import json, pickle, sys
import torch
from mmengine.model import BaseModel
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.runner import Runner, load_checkpoint

amp_optimizer_wrapper.is_cuda_available = lambda: True  # it refuses a CPU, though bfloat16 works

class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
    def forward(self, inputs, mode="tensor"):
        outputs = self.weight * torch.stack(inputs)
        return dict(loss=outputs.sum()) if mode == "loss" else outputs

def train(name, wrapper, max_iters, resume=False):
    schedule = dict(by_epoch=False, begin=0, end=4)
    runner = Runner(
        model=Line(), work_dir=f"{sys.argv[1]}/{name}", resume=resume,
        experiment_name=f"{name}{max_iters}{resume}",
        train_dataloader=dict(
            dataset=[dict(inputs=torch.ones(1))] * 8, batch_size=2,
            sampler=dict(type="DefaultSampler", shuffle=False),
        ),
        train_cfg=dict(by_epoch=False, max_iters=max_iters),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.01), **wrapper),
        param_scheduler=[
            dict(type="LinearLR", start_factor=0.1, **schedule),
            dict(type="MultiStepLR", milestones=[3], **schedule),
        ],
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=1, by_epoch=False)),
        custom_hooks=[dict(type="EMAHook")], log_level="ERROR", default_scope="mmengine",
    )
    weight = runner.train().weight.item()
    losses = runner.message_hub.get_scalar("train/loss").data[0].tolist()
    return dict(weight=weight, iter=runner.iter, losses=losses)

def refused(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except pickle.UnpicklingError as error:
        return str(error)

wrappers = dict(full=dict(type="OptimWrapper"), amp=dict(type="AmpOptimWrapper", dtype="bfloat16"))
results = {name: {} for name in wrappers}
for name, wrapper in wrappers.items():
    results[name]["straight"] = train(name + "_straight", wrapper, 4)
    results[name]["stopped"] = train(name, wrapper, 2)
    checkpoint = f"{sys.argv[1]}/{name}/iter_2.pth"
    results[name]["refused_load"] = refused(load_checkpoint, Line(), checkpoint)
    results[name]["refused_resume"] = refused(train, name, wrapper, 4, resume=True)
from mmdet_discobox.utils.safe_globals import register_safe_globals
register_safe_globals()
register_safe_globals()
for name, wrapper in wrappers.items():
    results[name]["keys"] = sorted(load_checkpoint(Line(), f"{sys.argv[1]}/{name}/iter_2.pth"))
    results[name]["resumed"] = train(name, wrapper, 4, resume=True)
print("RESULTS" + json.dumps(results))
"""


@needs_weights_only
def test_mmengine_loads_and_resumes_its_checkpoints_only_after_registration(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-c", TRAIN_STOP_RESUME, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    results = json.loads(process.stdout.rpartition("RESULTS")[2])
    for result in results.values():
        refusals = result["refused_load"], result["refused_resume"]
        if distribution_of("mmengine").startswith("onedl-"):
            assert refusals == (None, None)  # its loader has a list of its own
        else:
            assert all("Unsupported global" in refusal for refusal in refusals)
        assert {
            "state_dict",
            "optimizer",
            "param_schedulers",
            "message_hub",
            "meta",
            "ema_state_dict",
        } <= set(result["keys"])
        assert result["stopped"]["iter"] == 2
        assert len(result["straight"]["losses"]) == 4
        assert result["resumed"] == result["straight"]


@pytest.fixture
def registered() -> Iterator[None]:
    """Register for one test, and restore torch's allow-list afterwards."""
    if Version(torch.__version__).release < (2, 6):
        pytest.skip("torch < 2.6 does not load with weights_only by default")
    before = torch.serialization.get_safe_globals()
    register_safe_globals()
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)


@pytest.fixture(params=["allow-list", "restricted pickle"])
def load(request: pytest.FixtureRequest) -> Callable[[Path], Any]:
    """Return either of the two safe ways to read a file."""
    if request.param == "allow-list":
        request.getfixturevalue("registered")
        return torch.load
    return partial(torch.load, weights_only=False, pickle_module=restricted_pickle)


class Call:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.reduced = (function, arguments)

    def __call__(self) -> None:
        """Needed because pickle requires a callable."""

    def __reduce__(self) -> object:
        return self.reduced


@pytest.mark.parametrize(
    "payload",
    [
        Call(getattr, HistoryBuffer, "__init__"),
        Call(getattr, HistoryBuffer, "__class__"),
        Call(getattr, HistoryBuffer, "statistics"),
        Call(getattr, HistoryBuffer, "register_statistics"),
        Call(getattr, Call(getattr, HistoryBuffer, "min"), "__globals__"),
        Call(getattr, Call(getattr, HistoryBuffer, "min"), "__builtins__"),
        Call(getattr, HistoryBuffer([1.0], [1]), "min"),
        Call(getattr, np.ndarray, "min"),
        Call(getattr, np.ndarray, "tofile"),
        Call(getattr, torch.Tensor, "mean"),
        Call(getattr, HistoryBuffer, "__init__", None),
        Call(getattr, HistoryBuffer, ["min"]),
        Call(getattr),
    ],
    ids=lambda payload: repr(payload.reduced)[:60],
)
def test_getattr_beyond_the_statistics_is_refused(
    tmp_path: Path, load: Callable[[Path], Any], payload: Call
) -> None:
    torch.save({"state_dict": payload}, tmp_path / "bad.pth")
    with pytest.raises(pickle.UnpicklingError, match="but got `getattr|Unsupported global"):
        load(tmp_path / "bad.pth")


@pytest.mark.parametrize(
    "payload",
    [
        Call(eval, "1 + 1"),
        Call(__import__, "subprocess"),
        Call(subprocess.getoutput, "true"),
        Call(np.load, "x.npy"),
        Call(safe_globals.register_safe_globals),
    ],
    ids=lambda payload: payload.reduced[0].__name__,
)
def test_other_functions_are_refused(
    tmp_path: Path, load: Callable[[Path], Any], payload: Call
) -> None:
    torch.save({"state_dict": payload}, tmp_path / "bad.pth")
    with pytest.raises(pickle.UnpicklingError):
        load(tmp_path / "bad.pth")


class Built(Call):
    """Pickles as an object that is built by a call and then takes a state."""

    def __init__(self, function: object, *arguments: object, state: object) -> None:
        self.reduced = (function, arguments, state)


NUMPY = np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0]


def array(*state: object) -> Built:
    return Built(NUMPY[0], np.ndarray, (0,), b"b", state=state)


def dtype(name: str, *state: object) -> Built:
    return Built(np.dtype, name, False, True, state=state or (3, "<", None, None, None, -1, -1, 0))


_FIELDS = ("a",), {"a": (np.dtype("f8"), 2**40)}


@pytest.mark.parametrize(
    "payload",
    [
        Call(np.ndarray, (9,), np.dtype("f8"), b"x" * 8, 2**40, (2**40,)),
        Call(np.ndarray, (2**62,), np.dtype("f8")),
        Call(NUMPY[0], np.ndarray, (2**50,), "f8"),
        Call(NUMPY[0], np.ndarray, (1,), "O"),
        Call(NUMPY[1], dtype("f8"), b"1234567"),
        Call(NUMPY[1], dtype("f8"), b"1234567890"),
        Call(NUMPY[1], dtype("f8")),
        Call(np.dtype, "O", False, True),
        Call(np.dtype, "V8", False, True),
        Call(np.dtype, [("a", "f8")]),
        Call(np.dtype),
        dtype("f8", 3, "<", None, *_FIELDS, 8, 1, 0),
        dtype("f8", 3, "<", (np.dtype("f8"), (2**40,)), None, None, -1, -1, 0),
        dtype("f8", 3, "|", None, None, None, -1, -1, 63),
        dtype("f8", ()),
        Call(type(np.dtype("f8"))),
        array(1, (3,), dtype("f8"), False, b"12345678"),
        array(1, (-1,), dtype("f8"), False, b"12345678"),
        array(1, (2**32, 2**32), dtype("f8"), False, b""),
        array(1, (0, 2**70), dtype("f8"), False, b""),
        array(1, (1,) * 40, dtype("f8"), False, b"12345678"),
        array(1, (1,), dtype("f8"), False, ["text"]),
        array(1, (1,), "O", False, ["text"]),
        array(0, (1,), dtype("f8"), False, b"12345678"),
    ],
    ids=lambda payload: repr(payload.reduced)[:60],
)
def test_arrays_that_numpy_does_not_write_are_refused(
    tmp_path: Path, load: Callable[[Path], Any], payload: Call
) -> None:
    """numpy believes some of them, and reads memory that is not the array's."""
    torch.save({"state_dict": payload}, tmp_path / "bad.pth")
    with pytest.raises(pickle.UnpicklingError):
        load(tmp_path / "bad.pth")


@pytest.mark.parametrize("code", [">f8", "<i4", "f4"])
@pytest.mark.parametrize("shape", [(1,), (5,), (2, 3)])
def test_arrays_are_those_that_were_saved(
    tmp_path: Path, load: Callable[[Path], Any], code: str, shape: tuple[int, ...]
) -> None:
    saved = np.asfortranarray(np.arange(np.prod(shape), dtype=code).reshape(shape))
    torch.save(saved, tmp_path / "array.pth")
    loaded = load(tmp_path / "array.pth")
    np.testing.assert_array_equal(loaded, saved)
    assert loaded.dtype == saved.dtype.newbyteorder("=")  # as numpy loads its own pickles
    assert type(loaded + 1) is type(saved + 1)
    torch.save(loaded, tmp_path / "again.pth")  # readable without this package
    with zipfile.ZipFile(tmp_path / "again.pth") as archive:
        assert b"discobox" not in archive.read("again/data.pkl")
    np.testing.assert_array_equal(load(tmp_path / "again.pth"), saved)


def buffer_with(**fields: object) -> HistoryBuffer:
    """Return a buffer with other fields, which it pickles."""
    buffer = HistoryBuffer([1.0], [1])
    vars(buffer).update(fields)
    return buffer


#: numpy would take this buffer for an array at an address of the file's choice
INTERFACE = buffer_with(
    __array_interface__=dict(shape=(4,), typestr="<f8", data=(8, True), version=3)
)


@pytest.mark.parametrize(
    "payload",
    [
        Call(HistoryBuffer, [1.0], [1]),
        Call(HistoryBuffer, INTERFACE, [1]),
        INTERFACE,
        buffer_with(_log_history=INTERFACE),
        buffer_with(_log_history=[1.0]),
        buffer_with(max_length="1"),
    ],
    ids=("call", "call with an interface", "interface", "nested", "list", "length"),
)
def test_buffers_that_mmengine_does_not_write_are_refused(
    tmp_path: Path, load: Callable[[Path], Any], payload: object
) -> None:
    """numpy would read memory at an address in the file."""
    torch.save({"state_dict": payload}, tmp_path / "bad.pth")
    with pytest.raises(pickle.UnpicklingError):
        load(tmp_path / "bad.pth")


class Changed:
    """A pickle that sets attributes of what it names."""

    def __init__(self, module: str, name: str, **slots: object) -> None:
        self.module, self.name, self.slots = module, name, slots

    def pickled(self) -> bytes:
        state = pickle.dumps((None, self.slots), protocol=2)[2:-1]
        return b"\x80\x02" + f"c{self.module}\n{self.name}\n".encode() + state + b"b."


@pytest.mark.parametrize(
    "changed",
    [
        Changed("torch._utils", "_rebuild_tensor_v2", __defaults__=(1,)),
        Changed("torch._utils", "_rebuild_tensor", dump_patches=True),
        Changed("builtins", "getattr", anything=1),
        Changed("collections", "OrderedDict", anything=1),
        Changed(HistoryBuffer.__module__, "HistoryBuffer", mean=1),
        Changed("numpy", "ndarray", __setstate__=1),
    ],
    ids=lambda changed: changed.name,
)
def test_a_file_changes_no_function(changed: Changed) -> None:
    reasons = "changes a function|cannot set '|missing 1 required positional argument"
    with pytest.raises((pickle.UnpicklingError, TypeError), match=reasons):
        restricted_pickle.load(io.BytesIO(changed.pickled()))


def test_objects_beside_the_pickle_are_storages() -> None:
    """torch would look for the source code of a module, and write a patch of it."""
    unpickler = restricted_pickle.Unpickler(io.BytesIO(b"\x80\x02U\x06moduleQ."))
    unpickler.persistent_load = lambda key: key
    with pytest.raises(pickle.UnpicklingError, match="Expected a storage"):
        unpickler.load()


def test_history_buffer_round_trip(tmp_path: Path, load: Callable[[Path], Any]) -> None:
    buffer = HistoryBuffer([1.0, 2.0, 6.0], [1, 1, 1])
    torch.save(buffer, tmp_path / "buffer.pth")
    loaded = load(tmp_path / "buffer.pth")
    assert loaded.statistics("mean") == (1 + 2 + 6) / 3
    assert loaded.statistics("max") == 6
    np.testing.assert_array_equal(loaded.data, buffer.data)
    loaded.update(3.0)
    torch.save(loaded, tmp_path / "again.pth")  # readable without this package
    with zipfile.ZipFile(tmp_path / "again.pth") as archive:
        assert b"discobox" not in archive.read("again/data.pkl")
    assert load(tmp_path / "again.pth").statistics("mean") == (1 + 2 + 6 + 3) / 4


@pytest.mark.usefixtures("registered")
def test_registration_survives_a_temporary_allow_list(tmp_path: Path) -> None:
    """The fork's loader adds a list for each load, and removes equal entries afterwards."""
    path = tmp_path / "buffer.pth"
    torch.save(HistoryBuffer([1.0], [1]), path)
    listed = [HistoryBuffer, np.ndarray, np.dtype, type(np.dtype(np.float64))]
    with torch.serialization.safe_globals(listed):
        torch.load(path)
    assert torch.load(path).statistics("mean") == 1


def save_as_numpy_of(package: bytes, value: object, path: Path) -> None:
    """Save with the module names of `numpy.core` (1.x) or `numpy._core` (2.x)."""
    torch.save(value, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if name.endswith("data.pkl"):
                content, count = re.subn(rb"numpy\._?core\.", package + b".", content)
                assert count > 0
            archive.writestr(name, content)


@pytest.mark.parametrize("package", [b"numpy.core", b"numpy._core"])
@pytest.mark.parametrize(
    "value", [np.float64(0.5), np.float32(0.5), np.int64(3), np.arange(3.0), np.arange(3)]
)
def test_names_of_numpy_1_and_2_both_load(
    tmp_path: Path, load: Callable[[Path], Any], package: bytes, value: np.ndarray
) -> None:
    """A checkpoint contains the module names of the numpy that wrote it."""
    save_as_numpy_of(package, value, tmp_path / "value.pth")
    loaded = load(tmp_path / "value.pth")
    np.testing.assert_array_equal(loaded, value)
    assert loaded.dtype == value.dtype


def test_the_replacement_returns_the_four_statistics() -> None:
    for name in ("min", "max", "current", "mean"):
        assert history_buffer_getattr(HistoryBuffer, name) is getattr(HistoryBuffer, name)


@pytest.mark.usefixtures("registered")
def test_methods_are_not_called_by_the_allow_list(tmp_path: Path) -> None:
    payload = Call(Call(getattr, HistoryBuffer, "min"), HistoryBuffer([1.0], [1]))
    torch.save({"state_dict": payload}, tmp_path / "bad.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "bad.pth")


def test_does_nothing_on_old_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: object) -> None:
        raise AssertionError(
            "add_safe_globals does not exist before torch 2.4 and takes no pairs before 2.6"
        )

    monkeypatch.setattr(safe_globals.torch, "__version__", "2.5.1+cpu")
    monkeypatch.setattr(
        safe_globals.torch.serialization, "add_safe_globals", forbidden, raising=False
    )
    register_safe_globals()
