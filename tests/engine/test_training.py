"""Real training runs of a tiny detector: resume, gates, the moving teacher, accumulation."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tiny import NETWORKS, tiny_solov2, write_boxes

# A resumed stock mmengine loads the data of the past iterations, and draws what their augmentations
# drew. The maintained fork skips them in the sampler: the next flips are others there.
FLIPS = 0.0 if hasattr(InfiniteSampler, "skip") else 0.5


class Recorder(Hook):
    """Keep every loss and the state of the gates."""

    priority = "LOWEST"

    def __init__(self):
        self.losses, self.gates, self.updates = [], [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({key: float(value) for key, value in outputs.items()})
        teacher = getattr(runner.model, "structured_teacher", None)
        self.gates.append(teacher is not None and teacher.consistency_gate.is_open)
        network = getattr(runner.model, "teacher", None)
        self.updates.append(int(network.steps) if network is not None else 0)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return write_boxes(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS)
def model(request):
    return request.param()


def training_config(model, data_root, work_dir, *, hooks, iterations=6, **changes):
    config = dict(
        default_scope="mmdet",
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type="InfiniteSampler", shuffle=True),
            dataset=dict(
                type="CocoBoxDataset",
                data_root=str(data_root),
                ann_file="boxes.json",
                data_prefix=dict(img="images/"),
                metainfo=dict(classes=("one", "two", "three")),
                pipeline=[
                    dict(type="LoadImageFromFile"),
                    dict(type="LoadAnnotations", with_bbox=True),
                    dict(type="RandomFlip", prob=FLIPS),
                    dict(type="PackDetInputs"),
                ],
            ),
        ),
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=iterations),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.01, momentum=0.9)),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=3, by_epoch=False)),
        custom_hooks=hooks,
        randomness=dict(seed=0, deterministic=True),
        experiment_name=str(work_dir).replace("/", "_"),
    )
    # mmengine writes the config six times; to make it pretty takes longer than the training
    return Config({**config, **changes}, format_python_code=False)


def train(config):
    runner = Runner.from_cfg(config)
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    return runner, recorder


def hooks(**consistency):
    return [
        dict(type="TeacherEMAHook"),
        dict(
            type="StructuredTeacherHook",
            consistency=consistency,
            correspondence=dict(iteration=3),
            interval=1,
        ),
    ]


@pytest.mark.parametrize("opening", [2, 4], ids=["open-when-saved", "shut-when-saved"])
def test_a_resumed_training_repeats_every_loss(model, data_root, tmp_path, opening):
    model.structured_teacher.cross_image.bank.max_retrieved = 1  # of several: a random choice
    straight = training_config(
        model, data_root, tmp_path / "straight", hooks=hooks(iteration=opening)
    )
    _, expected = train(straight)
    resumed = training_config(
        model,
        data_root,
        tmp_path / "resumed",
        hooks=hooks(iteration=opening),
        load_from=str(tmp_path / "straight" / "iter_3.pth"),
        resume=True,
    )
    _, recorder = train(resumed)
    assert recorder.losses == expected.losses[3:]
    assert recorder.gates == expected.gates[3:]
    assert recorder.updates == expected.updates[3:] == [4, 5, 6]
    assert expected.losses[-1]["loss_con"] > 0
    assert expected.losses[-1]["loss_nce"] > 0


@pytest.mark.slow
def test_epochs_repeat_their_flips_with_fresh_workers(data_root, tmp_path):
    """As docs/faq.md says: with `persistent_workers=False` and a seed, each epoch has its own."""

    def config(name, **changes):
        made = training_config(
            tiny_solov2(), data_root, tmp_path / name, hooks=hooks(iteration=1),
            train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=2), **changes,
        )  # fmt: skip
        made.default_hooks.checkpoint = dict(type="CheckpointHook", interval=1)
        loader = made.train_dataloader
        loader.update(num_workers=1, persistent_workers=False)
        loader.sampler = dict(type="DefaultSampler", shuffle=True)
        loader.dataset.pipeline[2].prob = 0.5
        return made

    _, expected = train(config("straight"))
    checkpoint = str(tmp_path / "straight" / "epoch_1.pth")
    _, recorder = train(config("resumed", load_from=checkpoint, resume=True))
    assert recorder.losses == expected.losses[len(expected.losses) // 2 :]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_training_resumes_from_the_newest_whole_checkpoint(data_root, tmp_path, elsewhere):
    """As after a kill during the save of iteration 6."""
    folder = tmp_path / "other" / "work" if elsewhere else tmp_path / "work"
    changes = training_config(tiny_solov2(), data_root, tmp_path / "work", hooks=hooks())
    changes.default_hooks.resume = dict(type="ResumeHook")
    if elsewhere:
        changes.default_hooks.checkpoint.out_dir = str(tmp_path / "other")
    train(changes)
    (tmp_path / "work" / "last_checkpoint").write_text("")
    last = folder / "iter_6.pth"
    last.write_bytes(last.read_bytes()[:-1000])
    runner, recorder = train(Config({**changes, "resume": True}))
    assert len(recorder.losses) == 3
    log = "".join(path.read_text() for path in (tmp_path / "work").glob("*/*.log"))
    assert f"resumes from the newest whole one, '{folder / 'iter_3.pth'}'" in log
    assert runner.iter == 6


def test_gates_open_once_and_say_so(model, data_root, tmp_path, caplog):
    config = training_config(model, data_root, tmp_path, hooks=hooks(fraction=0.5))
    runner, recorder = train(config)
    assert recorder.gates == [False, False, True, True, True, True]
    assert [losses["loss_con"] > 0 for losses in recorder.losses] == [False] * 3 + [True] * 3
    log = next(tmp_path.glob("*/*.log")).read_text()
    assert log.count("L_con starts after iteration 3: 50% of 6 iterations are done.") == 1
    assert log.count("The teacher network starts after iteration 1") == 1


def test_correspondences_wait_for_consistency_and_their_own_moment(model, data_root, tmp_path):
    for opening, started in ((1, 3), (4, 4)):
        config = training_config(
            model, data_root, tmp_path / str(opening), hooks=hooks(iteration=opening), iterations=5
        )
        runner, recorder = train(config)
        later = [losses["loss_nce"] > 0 for losses in recorder.losses]
        assert not any(later[:started])
        log = next((tmp_path / str(opening)).glob("*/*.log")).read_text()
        message = f"The cross-image term and L_nce start after iteration {started}"
        assert log.count(message) == 1
        assert runner.model.structured_teacher.cross_image.bank.counts.sum() > 0


def test_the_running_mil_loss_opens_the_gate(model, data_root, tmp_path):
    config = training_config(model, data_root, tmp_path, hooks=hooks(mil_below=100.0))
    runner, recorder = train(config)
    assert recorder.gates == [True] * 6
    running = recorder.losses[0]["loss_mil"]
    for losses in recorder.losses[1:]:
        running += 0.1 * (losses["loss_mil"] - running)
    assert float(runner.model.structured_teacher.running_mil) == pytest.approx(running, rel=1e-5)


def test_a_fresh_training_shuts_gates_that_a_checkpoint_left_open(model, data_root, tmp_path):
    first, _ = train(training_config(model, data_root, tmp_path / "a", hooks=hooks(iteration=0)))
    assert first.model.structured_teacher.consistency_gate.is_open
    config = training_config(
        model,
        data_root,
        tmp_path / "b",
        hooks=hooks(iteration=4),
        load_from=str(tmp_path / "a" / "iter_6.pth"),
    )
    _, recorder = train(config)
    assert recorder.gates == [False, False, False, True, True, True]


class FirstCopy(Hook):
    """Look at the bank when the training starts, and at the teacher after its first update."""

    priority = "LOWEST"

    def before_train(self, runner):
        self.counts = runner.model.structured_teacher.cross_image.bank.counts.clone()
        self.started = runner.model.teacher.started

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        teacher, student = runner.model.teacher, dict(runner.model.named_parameters())
        if teacher.steps == 1:
            averages = teacher.module.named_parameters()
            self.copied = all(torch.equal(value, student[name]) for name, value in averages)


def test_a_fresh_training_forgets_the_teacher_and_the_bank_of_a_checkpoint(
    model, data_root, tmp_path
):
    first, _ = train(training_config(model, data_root, tmp_path / "a", hooks=hooks(iteration=0)))
    assert first.model.structured_teacher.cross_image.bank.counts.sum() > 0
    averaging, structured = hooks(iteration=0)
    averaging["start"] = dict(iteration=3)
    config = training_config(
        model,
        data_root,
        tmp_path / "b",
        hooks=[averaging, structured],
        load_from=str(tmp_path / "a" / "iter_6.pth"),
    )
    runner = Runner.from_cfg(config)
    looks, recorder = FirstCopy(), Recorder()
    runner.register_hook(looks)
    runner.register_hook(recorder)
    runner.train()
    assert looks.counts.sum() == 0
    assert not looks.started
    assert recorder.updates == [0, 0, 1, 2, 3, 4]
    assert looks.copied


def test_the_teacher_moves_once_per_optimiser_step(model, data_root, tmp_path):
    config = training_config(
        model,
        data_root,
        tmp_path,
        hooks=hooks(iteration=0),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.01), accumulative_counts=2),
    )
    _, recorder = train(config)
    assert recorder.updates == [0, 1, 1, 2, 2, 3]


def test_the_teacher_follows_the_student(model, data_root, tmp_path):
    slowly = dict(optimizer=dict(type="SGD", lr=0.01), clip_grad=dict(max_norm=1.0))
    config = training_config(
        model, data_root, tmp_path, hooks=hooks(iteration=0), optim_wrapper=slowly
    )
    runner, _ = train(config)
    student = dict(runner.model.named_parameters())
    moved = [
        not torch.equal(parameter, student[name])
        for name, parameter in runner.model.teacher.module.named_parameters()
        if student[name].requires_grad
    ]
    assert any(moved)
    for name, parameter in runner.model.teacher.module.named_parameters():
        assert torch.allclose(parameter, student[name], atol=0.1), name


@pytest.mark.parametrize("hook", ["TeacherEMAHook", "StructuredTeacherHook"])
def test_a_hook_names_the_model_it_cannot_serve(data_root, tmp_path, hook):
    model = tiny_solov2(structured_teacher=None, teacher_network=None)
    config = training_config(model, data_root, tmp_path, hooks=[dict(type=hook)])
    with pytest.raises(TypeError, match=f"Expected the model of {hook}"):
        train(config)


def test_box_mil_loss_serves_a_stock_detector(data_root, tmp_path):
    model = tiny_solov2(box_supervised=False)
    model.mask_head.loss_mask = dict(type="BoxMILLoss")
    config = training_config(model, data_root, tmp_path, hooks=[], iterations=2)
    dataset = config.train_dataloader.dataset
    dataset.type, dataset.ann_file = "CocoDataset", "masks.json"
    dataset.pipeline[1].with_mask = True
    _, recorder = train(config)
    assert all(0 < losses["loss_mask"] <= 2 for losses in recorder.losses)
