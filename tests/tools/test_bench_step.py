from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from tiny import tiny_solov2, tiny_yolact

TOOLS = Path(__file__).parents[2] / "tools"
MODULES = ("bench_step", "bench_measure", "bench_ranks", "bench_models", "bench_batch")
TINY = ["--size", "64", "64", "--images", "1", "--repeats", "1"]


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def bench(modules):
    return modules["bench_step"]


def config_of(model):
    return Config(
        dict(
            model=model,
            optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1.0)),
            custom_imports=dict(imports=["mmdet_discobox"]),
        ),
        format_python_code=False,
    )


@pytest.fixture(params=[tiny_solov2, tiny_yolact], ids=["solov2", "yolact"])
def config(request):
    return config_of(request.param())


@pytest.fixture
def path(config, tmp_path):
    config.dump(tmp_path / "tiny.py")
    return tmp_path / "tiny.py"


def test_measures_every_section_and_writes_everything(bench, path, tmp_path, capsys):
    out = tmp_path / "bench.json"
    sections = ["step", "parts", "predict", "objects", "sizes", "classes"]
    scales = ["--scale-objects", "3", "--scale-sizes", "96", "--scale-classes", "5"]
    bench.main(["--config", str(path), "--only", *sections, *scales, *TINY, "--json", str(out)])
    report = json.loads(out.read_text())
    found = report["tiny"]
    assert report["run"]["torch"] == torch.__version__
    seconds = {
        row["variant"]: row["seconds"] for row in found["step"] if "Box" not in row["variant"]
    }
    assert len(seconds) == 6
    assert all(value > 0 for value in seconds.values())
    assert found["matching_cost"] == pytest.approx(
        seconds["L_mil, L_con, L_nce"] / seconds["L_mil, L_con"] - 1
    )
    assert "the cross-image term and L_nce add" in capsys.readouterr().out
    stock, full, refined = (row["variant"] for row in found["predict"])
    assert (full, refined) == (f"DiscoBox{stock}", f"DiscoBox{stock}, refined")
    assert all(row["detections"] <= 20 for row in found["predict"])
    assert all(math.isfinite(row["fps"]) for row in found["predict"])
    for section, key, value in (
        ("objects", "objects", 3),
        ("sizes", "side", 96),
        ("classes", "classes", 5),
    ):
        assert [row[key] for row in found[section]] == [value] * 2
        assert found[section][0]["ratio"] == 1


def test_the_step_that_warms_up_is_not_counted(modules, config):
    row = modules["bench_models"].Variant("full", "full")
    work = modules["bench_batch"].Workload((64, 64), 1, 2)
    found = modules["bench_measure"].step_seconds(config, [row], work, device="cpu", repeats=2)
    assert len(found["full"]) == 2


def test_the_parts_are_found_and_add_up(bench, path, capsys):
    args = bench.parse_args(["--config", str(path), *TINY])
    rows = bench.Bench(path, args).parts()
    shares = {}
    for row in rows:
        shares.setdefault(row["variant"], {})[row["part"]] = row["share"]
    for variant, parts in shares.items():
        assert sum(parts.values()) == pytest.approx(1)
        assert all(value > 0 for value in parts.values())
        if "masks" in variant:
            assert not {"teacher network", "structured teacher", "correspondence"} & set(parts)
            continue
        assert ("teacher network" in parts) == ("no EMA" not in variant)
        assert {
            "student forward", "targets, L_det", "mask loss (L_mil)", "structured teacher",
            "correspondence", "L_nce", "L_con, figures", "backward", "optimiser",
        } <= set(parts)  # fmt: skip


def test_the_clock_leaves_the_detector_as_it_was(modules, config):
    measure, models = modules["bench_measure"], modules["bench_models"]
    trainee = models.Trainee(config, "full", "cpu")
    batch = modules["bench_batch"].random_batch(
        modules["bench_batch"].Workload((64, 64), 1, 2), seed=0
    )
    with measure.PartClock("cpu").measuring(trainee):
        trainee.step(batch)
        assert "forward" in vars(trainee.model.structured_teacher)
    for module in trainee.model.modules():
        assert "forward" not in vars(module)
    assert "extract_feat" not in vars(trainee.model)


def test_memory_is_measured_in_a_process_of_its_own(modules, tmp_path):
    if not Path("/proc/self/status").exists():
        pytest.skip("resident memory is read from /proc")
    config_of(tiny_solov2()).dump(tmp_path / "tiny.py")
    row = modules["bench_models"].Variant("full", "full")
    work = modules["bench_batch"].Workload((64, 64), 1, 2)
    waste = torch.ones(2**26)  # 256 MB that are no detector's
    peaks = modules["bench_measure"].peak_megabytes(tmp_path / "tiny.py", [row], work, device="cpu")
    assert len(waste)
    assert 1 < peaks["full"] < 256


@pytest.mark.slow
def test_two_ranks_train_together(modules, tmp_path):
    config_of(tiny_yolact()).dump(tmp_path / "tiny.py")
    row = modules["bench_models"].Variant("full", "full")
    work = modules["bench_batch"].Workload((64, 64), 1, 2)
    seconds = modules["bench_ranks"].rank_seconds(tmp_path / "tiny.py", row, work, 2, repeats=2)
    assert len(seconds) == 2
    assert min(seconds) > 0


def test_matching_really_runs(modules, config):
    trainee = modules["bench_models"].Trainee(config, "full", "cpu")
    bank = trainee.structured_teacher.cross_image.bank
    assert (bank.counts == bank.capacity).all()
    data = trainee.model.data_preprocessor(
        modules["bench_batch"].random_batch(
            modules["bench_batch"].Workload((96, 96), 2, 3, classes=3), seed=0
        ),
        True,
    )
    pairs = trainee.model.teach(data["inputs"], data["data_samples"]).pairs
    assert len(pairs.valid) == 6 * bank.max_retrieved
    assert pairs.valid.any()


def test_gates_choose_the_phase_and_steps_leave_the_weights(modules, config):
    trainee = modules["bench_models"].Trainee(config, "full", "cpu")
    before = {name: value.clone() for name, value in trainee.model.named_parameters()}
    batches = modules["bench_batch"]
    for gates in ((False, False), (True, False), (True, True)):
        trainee.set_gates(gates)
        data = trainee.model.data_preprocessor(
            batches.random_batch(batches.Workload((96, 96), 1, 2), seed=0), True
        )
        losses = trainee.model(**data, mode="loss")
        assert (losses["loss_con"] > 0, losses["loss_nce"] > 0) == gates
    trainee.step(batches.random_batch(batches.Workload((96, 96), 1, 2), seed=0))
    for name, value in trainee.model.named_parameters():
        assert torch.equal(value, before[name]), name


def test_the_stock_detector_has_the_same_layers(modules, config):
    models = modules["bench_models"]
    stock = MODELS.build(models.model_config(config, "stock"))
    full = MODELS.build(models.model_config(config, "full"))
    added = ("teacher.", "structured_teacher.", "mask_head.rescoring.")
    ours = {k: v.shape for k, v in full.state_dict().items() if not k.startswith(added)}
    theirs = {k: v.shape for k, v in stock.state_dict().items() if "segm_branch" not in k}
    assert ours == theirs
    assert type(stock).__module__.startswith("mmdet.")
    assert type(stock.mask_head).__module__.startswith("mmdet.")


def test_batches_are_what_they_say(modules):
    batches = modules["bench_batch"]
    work = batches.Workload((64, 96), 2, 5, classes=4)
    batch, again = (batches.random_batch(work, seed=1) for _ in range(2))
    assert [image.shape for image in batch["inputs"]] == [(3, 64, 96)] * 2
    for one, other in zip(batch["data_samples"], again["data_samples"], strict=True):
        assert len(one.gt_instances.labels.unique()) > 1
        assert one.gt_instances.labels.max() < 4
        boxes, masks = one.gt_instances.bboxes, one.gt_instances.masks.masks
        assert torch.equal(boxes, other.gt_instances.bboxes)
        assert (boxes >= 0).all()
        assert (boxes[:, 2::4] <= 96).all()
        assert (boxes[:, 3::4] <= 64).all()
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1).numpy()
        assert masks.sum((1, 2)) == pytest.approx(math.pi / 4 * areas, rel=0.25, abs=8)


def test_a_quick_run_can_be_made_quicker(bench):
    assert bench.parse_args([]).size == (320, 320)
    assert bench.parse_args(["--quick"]).size == (160, 160)
    assert bench.parse_args(["--quick", "--size", "96", "64"]).size == [96, 64]


def test_rejects_a_config_without_anything_to_compare(bench, tmp_path):
    path = tmp_path / "mil.py"
    path.write_text("model = dict(type='DiscoBoxSOLOv2', structured_teacher=None)")
    with pytest.raises(ValueError, match="a `cross_image` term but it has none"):
        bench.main(["--config", str(path), *TINY])
