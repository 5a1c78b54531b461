"""The command for a GPU, on the CPU at a tiny size."""

from __future__ import annotations

import copy
import io
import json
import os
import time
import warnings
from functools import partial

import pytest
import torch
from mmdet.models.losses import focal_loss
from mmengine.config import Config
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.structures import InstanceData
from rich.console import Console
from tiny import batch, build, tiny_condinst, tiny_rtmdet_ins, tiny_solov2, tiny_yolact

import gpu_check
from bench_models import FULL, STOCK
from gpu_checks import predictions, ranks, report, resume, synchronisation
from gpu_checks import worker as worker_module
from gpu_checks.records import Check, CheckFailure, Settings, outcome_of, perform
from gpu_checks.steps import finite_step, not_finite, training_steps
from gpu_checks.subjects import build as build_subject
from gpu_checks.subjects import checked_configs, read, representatives, workload
from gpu_checks.worker import Worker
from mmdet_discobox.models.networks import DiscoBoxSOLOv2

SETTINGS = Settings("cpu", (128, 128), images=2, objects=3, repeats=1, threads=1)


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    return {
        tiny: _written(folder / f"{tiny.__name__}.py", tiny())
        for tiny in (tiny_condinst, tiny_rtmdet_ins, tiny_solov2, tiny_yolact)
    }


def _written(path, model):
    optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.01, momentum=0.9))
    Config(dict(model=model, optim_wrapper=optim_wrapper), format_python_code=False).dump(path)
    return path


def test_every_check_runs_and_one_that_needs_a_gpu_is_skipped(configs, tmp_path, capfd):
    out = tmp_path / "gpu_check.json"
    paths = list(map(str, configs.values()))
    names = ["machine", "steps", "synchronisation", "predictions", "resume"]
    arguments = ["--device", "cpu", "--quick", "--configs", *paths, "--out", str(out)]
    assert gpu_check.main([*arguments, "--only", *names]) == 0
    found = json.loads(out.read_text())["checks"]
    status = {(c["name"], c["config"], *c["options"].values()): c["status"] for c in found}
    for path in configs.values():
        for kind in (FULL, STOCK):
            assert status["steps", path.stem, kind, "fp32"] == "passed"
            assert status["steps", path.stem, kind, "fp16"] == "skipped"
            assert status["steps", path.stem, kind, "bf16"] == "passed"
        assert status["synchronisation", path.stem] == status["predictions", path.stem] == "skipped"
        assert status["resume", path.stem] == "passed"
    assert all(c["reason"] for c in found if c["status"] == "skipped")
    for check in found:
        if check["name"] == "resume":
            assert check["figures"]["difference"] == 0 < check["figures"]["losses"]["loss_nce"]
        if check["name"] == "steps" and check["ours"] and check["status"] == "passed":
            assert check["figures"]["seconds_by_stock"] > 0
    assert "steps tiny_solov2 full fp16: skipped" in capfd.readouterr().out


def test_a_loss_that_is_not_finite_fails(tmp_path):
    model = tiny_solov2(loss_mil=dict(type="BoxMILLoss", loss_weight=1e39))
    path = _written(tmp_path / "infinite.py", model)
    check = Check("steps", training_steps, path, dict(kind=FULL, precision="fp32"))
    outcome = perform(check, SETTINGS)
    assert outcome.status == "failed"
    assert outcome.reason.startswith("Expected finite losses but got {'loss': inf, 'loss_mil': inf")
    assert outcome.figures["losses"]["loss_con"] > 0


def test_a_grad_scaler_finds_its_scale(configs, monkeypatch):
    """With torch's scaler of the CPU, where autocast is in bfloat16."""
    scaler = partial(torch.amp.GradScaler, "cpu", init_scale=2.0**127)
    monkeypatch.setattr(amp_optimizer_wrapper, "GradScaler", scaler)
    monkeypatch.setattr(amp_optimizer_wrapper, "is_cuda_available", lambda: True)
    subject = build_subject(read(configs[tiny_solov2]), FULL, "cpu", SETTINGS)
    subject.set_wrapper("AmpOptimWrapper")
    figures = finite_step(subject, batch(size=128))
    assert 0 < figures["skipped_steps"] < 16
    assert figures["scale"] == 2.0 ** (127 - figures["skipped_steps"])
    subject.optim_wrapper.loss_scaler = scaler(backoff_factor=0.999)
    with pytest.raises(CheckFailure, match="Expected finite gradients but those of"):
        finite_step(subject, batch(size=128))


def test_gradients_that_are_not_finite_are_named():
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1))
    model(torch.ones(1, 1)).sum().backward()
    assert not not_finite(model)
    model[1].bias.grad[:] = float("nan")
    assert not_finite(model) == ["1.bias"]


def _break(settings, path, *, way):
    if way == "exit":
        raise SystemExit(7)
    raise RuntimeError("device-side assert")


@pytest.mark.parametrize(
    ("way", "reason"), [("exit", "exit code 7"), ("raise", "RuntimeError: device-side assert")]
)
def test_a_broken_process_is_replaced(way, reason):
    worker = Worker(SETTINGS, start_method="fork")  # spares an interpreter: there is no GPU here
    outcome = worker.run(Check("break", _break, options=dict(way=way)), seconds=60)
    assert outcome.status == "failed"
    assert outcome.is_fault
    assert reason in outcome.reason
    assert ("device-side assert" in outcome.traceback) == (way == "raise")
    assert worker.run(Check("fine", _fine), seconds=60).status == "passed"
    worker.stop()


def test_a_process_that_ends_before_it_reads_the_check_fails_that_check_alone(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(worker_module, "prepare_process", lambda settings: os._exit(3))
        worker = Worker(SETTINGS, start_method="fork")
        outcome = worker.run(Check("fine", _fine), seconds=60)
    assert outcome.status == "failed"
    assert "exit code 3" in outcome.reason
    assert worker.run(Check("fine", _fine), seconds=60).status == "passed"
    worker._process.kill()  # between two checks, as by the system without memory
    worker._process.join()
    assert worker.run(Check("fine", _fine), seconds=60).status == "failed"
    assert worker.run(Check("fine", _fine), seconds=60).status == "passed"
    worker.stop()


@pytest.mark.parametrize("place", ["/pytorch/gloo/pair.cc:534", "enforce fail at alloc_cpu.cpp:1"])
def test_errors_that_begin_with_a_place_in_brackets_are_printed(place):
    reason = f"RuntimeError: [{place}] Connection closed"
    console = Console(file=io.StringIO(), width=200)
    console.print(report.table([outcome_of(Check("ranks", _fine), "failed", reason=reason)]))
    assert reason in console.file.getvalue()


def test_numbers_that_are_not_finite_leave_a_json(tmp_path):
    figures = dict(losses=dict(loss=float("inf"), loss_mil=1.0), all=[float("nan"), 2])
    report.write(
        tmp_path / "a.json", {}, [outcome_of(Check("a", _fine), "failed", figures=figures)]
    )

    def refuse(name):
        raise AssertionError(name)

    (found,) = json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse)["checks"]
    assert found["figures"] == dict(losses=dict(loss="inf", loss_mil=1.0), all=["nan", 2])


def test_a_check_that_hangs_is_ended():
    worker = Worker(SETTINGS, start_method="fork")
    outcome = worker.run(Check("wait", _wait), seconds=0.5)
    assert outcome.status == "failed"
    assert "more than 0 s" in outcome.reason


def _fine(settings, path):
    return {}


def _wait(settings, path):
    time.sleep(60)


def test_what_is_left_when_the_time_is_up_fails_the_run(configs, tmp_path):
    arguments = ["--device", "cpu", "--quick", "--minutes", "0", "--only", "machine"]
    assert gpu_check.main([*arguments, "--configs", str(configs[tiny_solov2])]) == 1


@pytest.mark.slow
def test_two_ranks_agree(configs):
    figures = ranks.distributed_step(SETTINGS, configs[tiny_solov2])
    assert figures["backend"] == "gloo"
    assert figures["empty"]["losses"]["loss_mil"] == 0 < figures["full"]["losses"]["loss_mil"]


def test_ranks_that_disagree_are_described():
    full = dict(losses=dict(a=1), missing=["w"], gradients=dict(v=1.0), running_mil=1.0)
    empty = dict(losses=dict(b=1), missing=[], gradients=dict(v=2.0), running_mil=2.0)
    wrong = ranks.disagreements(full, empty)
    assert len(wrong) == 4
    assert not ranks.disagreements(full | dict(missing=[]), full | dict(missing=[]))


def test_differences_of_losses_are_relative():
    losses = [dict(a=2.0, b=0.0)]
    assert resume.largest_difference(losses, losses) == 0
    assert resume.largest_difference(losses, [dict(a=2.5, b=0.0)]) == 0.25
    assert resume.largest_difference(losses, [dict(a=2.0)]) == float("inf")


def test_devices_that_differ_fail(configs, monkeypatch):
    monkeypatch.setattr(copy, "deepcopy", partial(_changed_copy, original=copy.deepcopy))
    with pytest.raises(CheckFailure, match="`heads_differ` of at most 0.001") as caught:
        predictions.compared(SETTINGS, configs[tiny_solov2])
    assert caught.value.figures["heads_differ"] > 0.01


def _changed_copy(value, *args, original):
    copied = original(value, *args)
    if isinstance(copied, DiscoBoxSOLOv2):
        copied.neck.fpn_convs[0].conv.weight.data *= 1.1
    return copied


@pytest.mark.parametrize("tiny", [tiny_condinst, tiny_rtmdet_ins, tiny_solov2, tiny_yolact])
def test_equal_devices_predict_alike(configs, tiny):
    figures = predictions.compared(SETTINGS, configs[tiny])
    assert figures["heads_differ"] == 0
    assert figures["agreement"] == figures["mask_iou"] == figures["teacher_iou"] == 1
    assert figures["cpu_detections"] > 3


def test_other_predictions_do_not_agree():
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, :2], masks[1, 2:] = True, True
    these = InstanceData(masks=masks, labels=torch.tensor([0, 1]), scores=torch.tensor([0.9, 0.5]))
    assert predictions.agreement(these, these)["agreement"] == 1
    assert predictions.agreement(these, these[:1])["agreement"] == 0.5
    for key in ("masks", "labels"):
        others = these.clone()
        others.set_data({key: these[key].flip(0)})
        assert predictions.agreement(these, others)["agreement"] == 0
    lower = these.clone()
    lower.scores = 0.98 * these.scores
    assert predictions.agreement(these, lower)["agreement"] == 0


def test_warnings_are_traced_to_their_owner():
    model = build(tiny_solov2())
    message = "called a synchronizing CUDA operation"
    for part in (model.backbone, model.mask_head.loss_cls):
        part.register_forward_pre_hook(lambda *_: warnings.warn(message, stacklevel=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nor may others pass for it
        places = synchronisation.places_of_a_step(model, batch())
    rows = synchronisation.tabulate(places)
    assert [(row["owner"], row["function"]) for row in rows] == [
        ("mmdet_discobox", "classification_loss"),
        ("mmdet", "extract_feat"),
    ]
    assert rows[1]["caller"] == "look"
    (wrong,) = synchronisation.surplus(places, dict(assign_cells=1))
    assert wrong.startswith("1 in classification_loss (mmdet_discobox/models/networks/solov2/head")
    assert not synchronisation.surplus(places, dict(classification_loss=1))


def test_allowed_places_are_functions_of_the_networks():
    for tiny in (tiny_condinst, tiny_rtmdet_ins, tiny_solov2, tiny_yolact):
        allowed = synchronisation.ALLOWED[tiny().type]
        package = synchronisation.PACKAGES["mmdet_discobox"]
        text = "".join(path.read_text() for path in package.rglob("*.py"))
        assert all(f"def {name}(" in text for name in allowed)


def test_every_network_is_checked_at_the_size_of_its_pipeline():
    paths = checked_configs()
    networks = ["condinst_r50", "solov2_r50", "yolact_r50_dcn", "rtmdet-ins_s"]
    assert [path.stem for path in paths[:4]] == networks
    assert len(set(paths)) == len(paths) >= 12
    full = Settings("cuda", None, images=2, objects=50, repeats=3, threads=1)
    sizes = {path.stem: workload(read(path), full).size for path in paths}
    assert sizes["solov2_r50"] == sizes["condinst_r50"] == (800, 1333)
    assert sizes["yolact_r50_dcn"] == sizes["yolact_r50_dcn_mask"] == (550, 550)
    assert sizes["rtmdet-ins_s"] == (640, 640)
    assert representatives(paths) == paths[:4]


def test_precisions_that_mmcv_does_not_have_are_skipped(tmp_path):
    model = tiny_yolact()
    model.backbone.update(depth=50, dcn=dict(type="DCNv2", deform_groups=1))
    model.backbone.update(stage_with_dcn=(False, False, False, True))
    model.neck.in_channels = [32, 64, 128, 256]
    path = _written(tmp_path / "dcn.py", model)
    check = Check("steps", training_steps, path, dict(kind=FULL, precision="bf16"))
    outcome = perform(check, SETTINGS)
    assert outcome.status == "skipped"
    assert "deformable convolutions" in outcome.reason


@pytest.mark.parametrize("kind", [FULL, STOCK])
def test_a_focal_loss_without_bfloat16_is_skipped_in_stock_detectors_alone(
    configs, monkeypatch, kind
):
    """The loss is that of a CPU, with the error of mmcv's operator of a GPU."""
    original = focal_loss.py_sigmoid_focal_loss

    def refuse(pred, *args, **kwargs):
        if pred.dtype == torch.bfloat16 or kind == FULL:
            name = '"sigmoid_focal_loss_forward_cuda_kernel"'
            raise RuntimeError(f"{name} not implemented for 'BFloat16'")
        return original(pred, *args, **kwargs)

    monkeypatch.setattr(focal_loss, "py_sigmoid_focal_loss", refuse)
    options = dict(kind=kind, precision="bf16")
    outcome = perform(Check("steps", training_steps, configs[tiny_solov2], options), SETTINGS)
    assert outcome.status == ("failed" if kind == FULL else "skipped")
    assert "BFloat16" in outcome.reason or "focal loss has no bfloat16" in outcome.reason
