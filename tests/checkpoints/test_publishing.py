"""Publishing: one network, stock keys, nothing else, and a name that tells the content."""

from __future__ import annotations

import hashlib
import re
import tarfile
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.logging import HistoryBuffer
from tiny import NETWORKS, build, tiny_solov2

from mmdet_discobox.apis import publish_checkpoint, read_checkpoint
from mmdet_discobox.checkpoints import publish_weights, save_checkpoint, save_hashed_checkpoint


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS)
def network(request):
    """Maker of the config of a tiny detector."""
    return request.param


@pytest.fixture
def detector(network):
    """A detector whose teacher has been set going and differs from its student."""
    model = build(network())
    model.teacher.update_parameters(model)
    with torch.no_grad():
        for parameter in model.teacher.module.parameters():
            parameter.add_(1.0)
    return model


@pytest.fixture
def stock(network):
    """Loads weights into mmdet's own detector, which has no re-scoring, and gives them back."""

    def load(weights):
        model = MODELS.build(network(box_supervised=False))
        rest = {key: v for key, v in weights.items() if not key.startswith("mask_head.rescoring.")}
        model.load_state_dict(rest, strict=True)
        return model.state_dict()

    return load


def first_of_the_neck(weights):
    return next(key for key in weights if key.startswith("neck.") and key.endswith(".conv.weight"))


def test_the_student_loads_into_the_stock_detector(detector, stock):
    weights = detector.state_dict()
    for key, value in stock(publish_weights(weights)).items():
        assert torch.equal(value, weights[key])


def test_the_teacher_takes_its_place(detector, stock):
    weights = detector.state_dict()
    published = stock(publish_weights(weights, network="teacher"))
    for key, value in published.items():
        assert torch.equal(value, weights[f"teacher.module.{key}"])
    key = first_of_the_neck(weights)
    assert not torch.equal(published[key], weights[key])


def test_a_teacher_that_is_not_there_is_missed(detector):
    weights = detector.state_dict()
    student = publish_weights(weights)
    with pytest.raises(ValueError, match="publish, but there is none"):
        publish_weights(student, network="teacher")
    with pytest.raises(ValueError, match="was never updated"):
        publish_weights(build(tiny_solov2()).state_dict(), network="teacher")
    key = first_of_the_neck(weights)
    weights.pop(f"teacher.module.{key}")
    with pytest.raises(ValueError, match=f"in one of them alone: {re.escape(key)}"):
        publish_weights(weights, network="teacher")
    with pytest.raises(ValueError, match="to be 'student' or 'teacher' but got 'both'"):
        publish_weights(weights, network="both")
    with pytest.raises(ValueError, match="there is no student"):
        publish_weights({"teacher.steps": torch.ones(1)})


def test_what_describes_the_weights_is_kept_as_plain_data(detector, tmp_path):
    meta = dict(
        dataset_meta=dict(classes=("one", "two"), palette=np.array([[1, 2, 3]])),
        epoch=np.int64(7),
        cfg="model = dict()",
        seed=1,
        env_info="secret",
        CLASSES=("one", "two"),  # mmdet 2.x
    )
    source = dict(state_dict=detector.state_dict(), meta=meta, optimizer={}, message_hub=object())
    published = publish_checkpoint(source)
    assert set(published) == {"meta", "state_dict"}
    assert published["meta"] == dict(
        dataset_meta=dict(classes=("one", "two"), palette=[[1, 2, 3]]),
        epoch=7,
        cfg="model = dict()",
        CLASSES=("one", "two"),
        published_network="student",
    )
    none = getattr(torch.serialization, "safe_globals", nullcontext)
    with none([]):
        path = save_hashed_checkpoint(published, tmp_path / "plain.pth")
        again = torch.load(path, weights_only=True)
    assert again["meta"] == published["meta"]


def test_the_name_ends_in_the_hash_of_the_file(tmp_path):
    content = dict(state_dict=dict(weight=torch.arange(3.0)))
    paths = [save_hashed_checkpoint(content, tmp_path / name) for name in ("Größe 模型.pth", "b")]
    sums = {hashlib.sha256(path.read_bytes()).hexdigest()[:8] for path in paths}
    assert [path.name for path in paths] == [f"Größe 模型-{s}.pth" for s in sums] + [
        f"b-{s}.pth" for s in sums
    ]
    assert torch.equal(read_checkpoint(paths[0])["state_dict"]["weight"], torch.arange(3.0))


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    save_checkpoint(dict(state_dict=dict(weight=torch.zeros(1))), path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(dict(state_dict=dict(weight=torch.ones(1))), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


class Foreign:
    """An object that no checkpoint may bring along."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (dict(state_dict={}), "hold weights under `state_dict`, but it has none"),
        ([1, 2], "hold weights under `state_dict`, but it has none"),
        (dict(state_dict=dict(weight=1)), r"to hold tensors, but \['weight'\] are none"),
        (
            dict(state_dict=dict(weight=torch.ones(1)), meta=Foreign()),
            r"(?s)safely failed: .*Foreign.*keep the weights alone",
        ),
    ],
)
def test_unusable_files_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / "model.pth")


def test_broken_and_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"at '.*nowhere\.pth', but there is no such file"):
        read_checkpoint(tmp_path / "nowhere.pth")
    good = tmp_path / "good.pth"
    save_checkpoint(dict(weight=torch.ones(1000)), good)
    assert read_checkpoint(good)["state_dict"]["weight"].sum() == 1000
    for content in (b"", b"hello", good.read_bytes()[:2000]):
        (tmp_path / "broken.pth").write_bytes(content)
        with pytest.raises(ValueError, match=r"broken\.pth' to be a checkpoint"):
            read_checkpoint(tmp_path / "broken.pth")


@pytest.fixture
def old_torch(monkeypatch):
    """A torch whose own safe loader does not know mmengine's classes, as far as ours asks."""
    monkeypatch.setattr("torch.__version__", "2.1.2+cpu")


@pytest.mark.usefixtures("old_torch")
def test_checkpoints_of_trainings_are_read_on_old_torch(tmp_path):
    model = build(tiny_solov2())
    optimizer = torch.optim.AdamW(model.parameters())
    optimizer.step()
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    content = dict(
        state_dict=model.state_dict(),
        optimizer=optimizer.state_dict(),
        message_hub=dict(log_scalars={"train/loss": history}),
        meta=dict(epoch=np.int64(3), dataset_meta=dict(classes=("person",))),
    )
    for name, zipped in (("new.pth", True), ("legacy.pth", False)):
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=zipped)
        read = read_checkpoint(tmp_path / name)
        for key, value in model.state_dict().items():
            assert torch.equal(read["state_dict"][key], value)
        assert read["meta"] == content["meta"]
        assert read["message_hub"]["log_scalars"]["train/loss"].statistics("mean") == 1.5
        assert read["optimizer"]["param_groups"] == content["optimizer"]["param_groups"]


@pytest.mark.usefixtures("old_torch")
def test_foreign_objects_and_programs_are_refused_on_old_torch(tmp_path):
    torch.save(dict(weight=torch.ones(1), meta=Foreign()), tmp_path / "foreign.pth")
    torch.jit.script(torch.nn.Identity()).save(tmp_path / "program.pth")
    with tarfile.open(tmp_path / "old.pth", "w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    for name, message in (
        ("foreign", "uses .*Foreign"), ("program", "TorchScript"), ("old", "a tar archive")
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"(?s)reading it safely failed: .*{message}"):
            read_checkpoint(tmp_path / f"{name}.pth")


def test_half_precision_and_no_config():
    model = build(tiny_solov2())
    checkpoint = dict(state_dict=model.state_dict(), meta=dict(cfg="work_dir = '/home'", epoch=3))
    published = publish_checkpoint(checkpoint, half=True, config=False)
    assert published["meta"] == dict(epoch=3, published_network="student")
    weights = published["state_dict"]
    assert {value.dtype for value in weights.values()} == {torch.float16, torch.int64}
    model.load_state_dict(weights, strict=False)
    key = "neck.lateral_convs.0.conv.weight"
    assert model.state_dict()[key].dtype == torch.float32
    assert torch.equal(model.state_dict()[key].half(), weights[key])
    assert publish_checkpoint(checkpoint)["meta"]["cfg"] == "work_dir = '/home'"


def test_weights_too_large_for_half_precision_are_an_error():
    """A variance of 1e5 would become infinite, and the features 0."""
    weights = {"norm.running_mean": torch.tensor([-65504.0]), "norm.running_var": torch.ones(2)}
    published = publish_checkpoint(dict(state_dict=weights), half=True)
    assert published["state_dict"]["norm.running_mean"].item() == -65504
    weights["norm.running_var"][1] = 1e5
    with pytest.raises(ValueError, match=r"up to 65504 .* 'norm\.running_var' has 100000.*--half"):
        publish_checkpoint(dict(state_dict=weights), half=True)
