"""Trainings that start from a stock checkpoint with other classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner, save_checkpoint
from test_training import hooks, training_config
from tiny import TASK_NETWORKS, build, tiny_solov2, tiny_yolact, write_boxes

CONFIGS = Path(__file__).parents[2] / "configs"
#: keys of each network whose shapes depend on the number of classes
CLASS_KEYS = {
    "solov2": {"mask_head.conv_cls.weight", "mask_head.conv_cls.bias"},
    "yolact": {"bbox_head.conv_cls.weight", "bbox_head.conv_cls.bias"},
    "condinst": {"bbox_head.conv_cls.weight", "bbox_head.conv_cls.bias"},
    "rtmdet_ins": {f"bbox_head.rtm_cls.{i}.{n}" for i in range(3) for n in ("weight", "bias")},
    "labeler": {"mask_head.classes.weight"},
}


class FirstSteps(Hook):
    """Keep the student that a training starts with, and both networks after the first step."""

    priority = "LOWEST"

    def before_train(self, runner):
        self.student = {k: v.clone() for k, v in runner.model.state_dict().items()}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 0:
            self.teacher = {
                k: v.clone() for k, v in runner.model.teacher.module.state_dict().items()
            }


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return write_boxes(tmp_path_factory.mktemp("data") / "set")


def stock_checkpoint(name, path, *, num_classes=7, prefix=""):
    """Write the checkpoint of a stock twin; the labeller has none but itself."""
    stock = {} if name == "labeler" else dict(box_supervised=False)
    model = build(TASK_NETWORKS[name](num_classes=num_classes, **stock), seed=5)
    state = {prefix + key: value for key, value in model.state_dict().items()}
    save_checkpoint(dict(state_dict=state, meta=dict(dataset_meta=dict(classes=()))), str(path))
    return {key: value for key, value in model.state_dict().items() if "teacher" not in key}


def start_config(name, data_root, work_dir, load_from, **changes):
    """A training of one step that moves no weight."""
    config = training_config(
        TASK_NETWORKS[name](),
        data_root,
        work_dir,
        hooks=[*hooks(iteration=0), dict(type="PretrainedStartHook")],
        iterations=1,
        load_from=str(load_from),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.0)),
        **changes,
    )
    config.train_dataloader.batch_size = 4
    if name == "labeler":
        box_crops = Config.fromfile(CONFIGS / "_base_/datasets/box_crops.py")
        config.train_dataloader.dataset = dict(
            type="BoxCropDataset",
            dataset={**config.train_dataloader.dataset, "pipeline": []},
            pipeline=box_crops.train_dataloader.dataset.pipeline,
        )
    return config


def start(config):
    runner, steps = Runner.from_cfg(config), FirstSteps()
    runner.register_hook(steps)
    runner.train()
    return runner, steps


def log_of(work_dir):
    return "".join(path.read_text() for path in work_dir.glob("*/*.log"))


@pytest.mark.parametrize("name", TASK_NETWORKS)
def test_student_and_teacher_start_from_all_but_the_heads_of_other_classes(
    name, data_root, tmp_path
):
    stock = stock_checkpoint(name, tmp_path / "coco.pth")
    _, steps = start(start_config(name, data_root, tmp_path / "work", tmp_path / "coco.pth"))
    shared = stock.keys() & steps.student.keys()
    loaded = {key for key in shared if torch.equal(stock[key], steps.student[key])}
    assert shared - loaded == CLASS_KEYS[name]
    weights = [key for key in loaded if key.endswith("weight")]
    assert len(weights) > 20
    assert all(torch.equal(steps.teacher[key], stock[key]) for key in weights)
    log = log_of(tmp_path / "work")
    assert log.count("coco.pth': ") == 1
    line = next(line for line in log.splitlines() if "Start from" in line)
    assert all(f"{key} (" in line for key in CLASS_KEYS[name])
    assert "do not match exactly" not in log
    assert "missing keys" not in log


def test_the_line_names_what_the_stock_twin_has_not_and_the_network_has_not(data_root, tmp_path):
    stock = build(tiny_yolact(box_supervised=False, num_classes=3), seed=5)
    state = {**stock.state_dict(), "segm_branch.conv.weight": torch.zeros(3)}
    torch.save(dict(state_dict=state), tmp_path / "coco.pth")
    start(start_config("yolact", data_root, tmp_path / "work", tmp_path / "coco.pth"))
    log = log_of(tmp_path / "work")
    assert "Not in the checkpoint, initialised anew: mask_head.rescoring (" in log
    assert "Not in this network, left out: segm_branch.conv (1)." in log
    assert "other shapes" not in log


def test_checkpoints_of_wrapped_models_and_without_a_state_dict_load(data_root, tmp_path):
    stock = stock_checkpoint("solov2", tmp_path / "coco.pth", prefix="module.")
    weights = torch.load(tmp_path / "coco.pth", weights_only=False)["state_dict"]
    torch.save(weights, tmp_path / "bare.pth")
    _, steps = start(start_config("solov2", data_root, tmp_path / "work", tmp_path / "bare.pth"))
    key = "backbone.layer1.0.conv1.weight"
    assert torch.equal(steps.student[key], stock[key])


def test_a_trained_network_of_ours_starts_another_with_other_classes(data_root, tmp_path):
    """Bank and teacher of the checkpoint have other shapes, and begin anew."""
    trained = build(tiny_solov2(num_classes=5), seed=5)
    trained.teacher.update_parameters(trained)
    save_checkpoint(dict(state_dict=trained.state_dict(), meta={}), str(tmp_path / "own.pth"))
    runner, steps = start(
        start_config("solov2", data_root, tmp_path / "work", tmp_path / "own.pth")
    )
    key = "backbone.layer1.0.conv1.weight"
    assert torch.equal(steps.student[key], trained.state_dict()[key])
    assert int(runner.model.teacher.steps) == 1
    assert "teacher" not in log_of(tmp_path / "work").split("Start from")[1].splitlines()[0]


def test_the_checkpoint_of_another_network_is_an_error(data_root, tmp_path):
    torch.save(dict(state_dict={"layer1.0.conv1.weight": torch.zeros(1)}), tmp_path / "r50.pth")
    config = start_config("solov2", data_root, tmp_path / "work", tmp_path / "r50.pth")
    with pytest.raises(ValueError, match=r"no weight of '.*r50\.pth' fits; it has layer1\.0 \(1\)"):
        start(config)


def test_a_resumed_training_loads_every_key(data_root, tmp_path):
    stock_checkpoint("solov2", tmp_path / "coco.pth")
    config = start_config("solov2", data_root, tmp_path / "work", tmp_path / "coco.pth")
    config.default_hooks.checkpoint.interval = 1
    start(config)
    config.train_cfg.max_iters = 2
    config.merge_from_dict(dict(resume=True, load_from=None))
    config.experiment_name += "_resumed"
    _, steps = start(config)
    assert torch.equal(steps.student["teacher.steps"], torch.tensor(1))
    assert log_of(tmp_path / "work").count("Start from") == 1


ARGUMENTS = ("model", "work_dir", "train_dataloader", "train_cfg", "optim_wrapper", "load_from")
HOOKS = ("default_hooks", "custom_hooks", "default_scope", "randomness")


@pytest.mark.parametrize("with_config", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_a_runner_without_a_config_resumes_its_teacher(data_root, tmp_path, with_config, named):
    """`Runner(resume=True)`, with or without a `cfg` that has `resume = False` as mmdet's."""
    stock_checkpoint("solov2", tmp_path / "coco.pth")
    config = start_config("solov2", data_root, tmp_path / "work", tmp_path / "coco.pth")
    config.default_hooks.checkpoint.interval = 1
    config.default_hooks.resume = dict(type="ResumeHook")
    runner, _ = start(config)
    saved = {key: value.clone() for key, value in runner.model.state_dict().items()}
    assert int(saved["teacher.steps"]) == 1
    last = tmp_path / "work/last_checkpoint"
    config.load_from = last.read_text() if named else None
    if not named:
        last.write_text("")  # a kill during a save, which ResumeHook repairs
    config.train_cfg.max_iters, config.resume = 2, False
    runner = Runner(
        **{key: config[key] for key in (*ARGUMENTS, *HOOKS)},
        resume=True,
        cfg=config if with_config else None,
        experiment_name=f"{config.experiment_name}_resumed",
    )
    steps = FirstSteps()
    runner.register_hook(steps)
    runner.train()
    assert all(torch.equal(steps.student[key], value) for key, value in saved.items())
    assert runner.iter == 2
    assert log_of(tmp_path / "work").count("Start from") == 1


def test_resuming_without_a_checkpoint_starts_from_the_weights_of_the_config(data_root, tmp_path):
    """As mmdet's `--resume`, which removes `load_from`, after a kill before the first save."""
    stock = stock_checkpoint("solov2", tmp_path / "coco.pth")
    config = start_config("solov2", data_root, tmp_path / "work", tmp_path / "coco.pth")
    config.default_hooks.resume = dict(type="ResumeHook")
    config.dump(tmp_path / "own.py")
    config = Config.fromfile(tmp_path / "own.py")
    config.merge_from_dict(dict(resume=True, load_from=None))
    _, steps = start(config)
    key = "backbone.layer1.0.conv1.weight"
    assert torch.equal(steps.student[key], stock[key])
    assert torch.equal(steps.teacher[key], stock[key])
    log = log_of(tmp_path / "work")
    assert "the training starts from `load_from` of" in log
    assert log.count("Start from") == 1


def test_the_configs_have_the_hook():
    for name in ("solov2_r50", "condinst_r50", "rtmdet-ins_s", "yolact_r50_dcn", "box_labeler_r50"):
        config = Config.fromfile(CONFIGS / f"discobox/{name}.py", import_custom_modules=False)
        assert config.default_hooks.start.type == "PretrainedStartHook"
