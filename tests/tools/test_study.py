"""What the study compares, and what it tells."""

from __future__ import annotations

import json
import threading
import time

import pytest
from mmengine.config import Config
from studies import study_modules

from mmdet_discobox.engine.hooks import StructuredTeacherHook

MEASURED = dict(ap=0.3, ap50=0.6, ap75=0.2, box_ap=0.4, matched_iou=0.7, matched_share=0.9)


@pytest.fixture(scope="module")
def modules():
    with pytest.MonkeyPatch.context() as patch:
        yield from study_modules(patch)


@pytest.fixture(scope="module")
def tables(modules):
    return {name: make() for name, make in modules["study_tables"].TABLES.items()}


@pytest.fixture(scope="module")
def merged(modules):
    """The config of a row."""

    def merge(row):
        config = modules["study_configs"].read_config(row.config)
        config.merge_from_dict(row.options)
        return config

    return merge


@pytest.fixture(autouse=True)
def _data(monkeypatch):
    """The command sets it: set it here, so that it is restored."""
    monkeypatch.setenv("DISCOBOX_DATA", "/nowhere")


def test_every_row_is_a_config_that_ships(tables, merged):
    for table in tables.values():
        names = [row.name for row in table.rows]
        assert len(set(names)) == len(names) == len({row.title for row in table.rows})
        for row in table.rows:
            assert merged(row).model.type
            assert row.bound is None or row.bound in names or row.data == "animals"
        for plot in table.plots:
            assert {name for curve in plot.curves.values() for name in curve.values()} <= set(names)


def test_the_rows_of_the_comparison(tables, merged):
    persons = [row.name for row in tables["persons"].rows]
    assert persons == [
        "masks", "boxinst", "mil", "mil_con", "full", "no_ema", "paper", "yolact_masks", "yolact",
        "self_trained", "masks_refined", "full_refined", "self_trained_refined",
    ]  # fmt: skip
    animals = [row.name for row in tables["animals"].rows]
    assert animals == [n for n in persons if not ("masks" in n or "self" in n)]
    for table in (tables["persons"], tables["animals"]):
        rows = {row.name: merged(row) for row in table.rows}
        teachers = {name: config.model.get("structured_teacher") for name, config in rows.items()}
        assert teachers["mil"] is teachers["boxinst"] is None
        assert teachers["mil_con"].cross_image is None
        assert teachers["full"].cross_image is not None
        assert teachers["paper"].algorithm == "alg1"
        assert teachers["paper"].cross_image == dict(teachers["full"].cross_image, balanced=False)
        for name in ("full", "paper", "yolact"):
            assert rows[name].model.teacher_network is not None
        assert rows["no_ema"].model.teacher_network is None
        assert rows["no_ema"].model.structured_teacher == teachers["full"]


def test_the_rows_that_are_tested_again(tables, merged):
    """The same networks, of a type that refines, against the same bound."""
    for name in ("persons", "animals"):
        rows = {row.name: row for row in tables[name].rows}
        plain, refined = merged(rows["full"]).model, merged(rows["full_refined"]).model
        assert refined.pop("prediction_refiner") == dict(type="PredictionRefiner")
        assert refined == plain
        assert rows["full_refined"].trained_as == rows["full"]
        assert rows["full_refined"].bound == "masks_refined"
    rows = {row.name: row for row in tables["persons"].rows}
    masks, own = rows["masks_refined"], rows["self_trained"]
    assert own.config == rows["masks"].config
    assert (own.labelled_by, own.bound, own.boxes) == (rows["full"], "masks", False)
    assert (masks.trained_as.name, masks.bound) == ("masks", None)
    assert merged(masks).model.type == "DiscoBoxSOLOv2"


def test_all_rows_of_a_data_set_have_its_pictures_and_budget(tables, merged):
    for table in (tables["persons"], tables["animals"]):
        budgets, tests, boxes = set(), set(), set()
        for row in table.rows:
            config = merged(row)
            loader, optimiser = config.train_dataloader, config.optim_wrapper.optimizer
            scale = [step.scale for step in loader.dataset.pipeline if step.type == "Resize"]
            budgets.add((config.train_cfg.max_epochs, loader.batch_size, optimiser.lr, *scale))
            truth = config.test_dataloader.dataset
            tests.add(
                (truth.data_root, truth.ann_file, truth.data_prefix.img, *truth.metainfo.classes)
            )
            assert config.test_evaluator.ann_file == truth.data_root + truth.ann_file
            if row.bound and not row.labelled_by:
                boxes.add((loader.dataset.ann_file, loader.dataset.data_prefix.img))
        assert len(budgets) == len(tests) == len(boxes) == 1


def test_the_weights_and_gates_of_the_sensitivity(modules, tables, merged):
    rows = {row.name: merged(row) for row in tables["sensitivity"].rows}
    curves = {plot.name: plot.curves["from boxes"] for plot in tables["sensitivity"].plots}
    for weight, key in modules["study_tables"].WEIGHTS.items():
        default = modules["study_tables"]._value(rows["full"], key)
        assert list(curves[weight]) == [0.1, 0.3, 1, 3, 10]
        for factor, name in curves[weight].items():
            value = modules["study_tables"]._value(rows[name], key)
            assert value == pytest.approx(factor * default)
    for gate in ("consistency", "correspondence"):
        for fraction, name in curves[gate].items():
            (hook,) = (h for h in rows[name].custom_hooks if h.type == "StructuredTeacherHook")
            hook = {key: value for key, value in hook.items() if key != "type"}
            opening = getattr(StructuredTeacherHook(**hook), gate)
            at_once = opening.iteration == 0 and fraction == 0
            assert at_once or (opening.iteration, opening.fraction) == (None, fraction)
    assert "full" in curves["consistency"].values()
    assert "full" in curves["correspondence"].values()


def test_other_conditions_of_a_gate_are_taken_away(modules):
    hook = dict(type="StructuredTeacherHook", correspondence=dict(iteration=30, mil_below=0.3))
    config = Config(dict(custom_hooks=[dict(type="TeacherEMAHook"), hook]))
    opening = modules["study_tables"]._opening
    options = opening(config, "correspondence", 0.4)
    config.merge_from_dict(options)
    assert config.custom_hooks[1].correspondence == dict(
        iteration=None, mil_below=None, fraction=0.4
    )
    assert opening(config, "correspondence", 0.4) == {}


def test_fewer_photographs_make_as_many_steps(modules, tables, tmp_path):
    settings = modules["study_settings"].Settings(tmp_path, epochs=6)
    for row in tables["data-size"].rows:
        size = row.options.get("train_dataloader.dataset.indices", 740)
        run = modules["study_runs"].Run(row, 0, settings)
        assert run.epochs * size == pytest.approx(6 * 740, rel=0.02)


def test_rows_are_chosen_by_name(modules, tables):
    chosen = modules["study_rows"].chosen
    assert chosen(tables["persons"], None) == list(tables["persons"].rows)
    assert [row.name for row in chosen(tables["persons"], ["full", "mil"])] == ["full", "mil"]
    with pytest.raises(ValueError, match=r"(?s)Expected rows of 'persons'.*'mil_con'.*\['mill'\]"):
        chosen(tables["persons"], ["mil", "mill"])


def test_settings_that_do_not_fit(modules, tmp_path):
    settings = modules["study_settings"].Settings
    settings(tmp_path, epochs=6).check()
    settings(tmp_path, epochs=6, gpus=1).check()
    with pytest.raises(ValueError, match=r"(?s)'epochs': 6.*but got .*'epochs': 4.*another --out"):
        settings(tmp_path, epochs=4).check()
    options = modules["study_settings"].Settings(tmp_path / "b", options=dict(a=1, b=2))
    options.check()
    modules["study_settings"].Settings(tmp_path / "b", options=dict(b=2, a=1)).check()
    with pytest.raises(ValueError, match=r"'b=2'.*but got .*'b=3'"):
        modules["study_settings"].Settings(tmp_path / "b", options=dict(a=1, b=3)).check()


def write_photographs(data, text="{}"):
    """The json files that a row reads, from images of one name or another."""
    files = [data / "persons" / name for name in ("train_boxes.json", "val.json")]
    files[0].parent.mkdir(parents=True)
    for path in files:
        path.write_text(text)
    return files


def test_photographs_that_are_not_those_of_the_table(modules, tmp_path):
    make = modules["study_settings"].Settings
    out, data, other = tmp_path / "out", tmp_path / "data", tmp_path / "other"
    train, truth = write_photographs(data)
    make(out, data=data).check([truth, data / "absent.json"])
    make(out, data=data).check([train])
    assert list(json.loads((out / "settings.json").read_text())["data"]) == [
        "persons/val.json",
        "persons/train_boxes.json",
    ]
    files = write_photographs(other, text="[]")
    with pytest.raises(ValueError, match=r"persons/train_boxes.json, persons/val.json in .*other"):
        make(out, data=other).check(files)
    # the folder may move
    for path in files:
        path.write_text("{}")
    make(out, data=other).check(files)
    files[0].write_text("[1]")
    with pytest.raises(
        ValueError, match=r"(?s)others: persons/train_boxes.json in .*another --out"
    ):
        make(out, data=other).check(files)


def test_the_settings_of_earlier_code_are_gone_on_with(modules, tmp_path):
    files = write_photographs(tmp_path / "data")
    earlier = dict(epochs=4, batch=None, bf16=False, options=["b=2", "a=1"])
    (tmp_path / "settings.json").write_text(json.dumps(earlier))
    make = modules["study_settings"].Settings
    settings = make(tmp_path, epochs=4, options=dict(a=1, b=2), data=tmp_path / "data")
    settings.check(files)
    filled = json.loads((tmp_path / "settings.json").read_text())["data"]
    assert set(filled) == {"persons/train_boxes.json", "persons/val.json"}
    files[1].write_text("[]")
    with pytest.raises(ValueError, match="Expected the photographs"):
        settings.check(files)


def test_two_first_calls_with_different_settings(modules, tmp_path, monkeypatch):
    def slow(path):
        found = json.loads(path.read_text()) if path.exists() else None
        time.sleep(0.3)  # the other call reads as well
        return found

    def check(epochs):
        try:
            modules["study_settings"].Settings(tmp_path, epochs=epochs).check()
        except ValueError:
            refused.append(epochs)

    refused = []
    monkeypatch.setattr(modules["study_settings"], "read_json", slow)
    calls = [threading.Thread(target=check, args=[epochs]) for epochs in (4, 6)]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert len(refused) == 1
    kept = json.loads((tmp_path / "settings.json").read_text())["epochs"]
    assert {kept, *refused} == {4, 6}


def test_the_annotations_of_a_run(modules, tables, tmp_path):
    rows = {row.name: row for row in tables["persons"].rows}

    def names(row, **options):
        settings = modules["study_settings"].Settings(tmp_path, options=options)
        found = modules["study_runs"].Run(rows[row], 0, settings).annotations
        return sorted(str(path.relative_to("/nowhere/persons")) for path in found)

    assert names("masks") == ["train_masks.json", "val.json"]
    assert names("full") == names("full_refined") == ["train_boxes.json", "val.json"]
    assert names("masks_refined") == ["train_masks.json", "val.json"]
    assert names("self_trained") == names("self_trained_refined") == names("full")
    key = "train_dataloader.dataset.ann_file"
    assert names("full", **{key: "few.json"}) == ["few.json", "val.json"]
    # the run tells of it, not the study
    assert names("full", **{"custom_hooks.9.type": "None"}) == ["train_boxes.json", "val.json"]
    wrapped = dict(type="ConcatDataset", datasets=[dict(data_root="a", ann_file="b.json")])
    config = Config(
        dict(train_dataloader=dict(dataset=wrapped), test_evaluator=[dict(ann_file="c")])
    )
    found = modules["study_configs"].annotations(config)
    assert sorted(map(str, found)) == ["a/b.json", "c"]


def test_configs_are_read_once_and_are_ones_own(modules, tables, monkeypatch):
    path, read = tables["persons"].rows[0].config, modules["study_configs"].read_config
    read(path).model.type = "Other"
    assert read(path).model.type == "SOLOv2"
    monkeypatch.setenv("DISCOBOX_DATA", "/elsewhere")
    assert read(path).test_evaluator.ann_file == "/elsewhere/persons/val.json"


def write_result(out, row, seed, **changes):
    folder = out / row.data / row.name / f"seed{seed}"
    folder.mkdir(parents=True)
    record = dict(seed=seed, revisions=["abc"], seconds=dict(train=60.0, test=6.0), failure=None)
    record["measures"] = {**MEASURED, **changes}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "result.json").write_text(json.dumps(record))


def write_failure(out, row, seed):
    folder = out / row.data / row.name / f"seed{seed}"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(dict(seed=seed, failure="ValueError: a or b")))


def lines_of(text):
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {row[0]: row for row in rows}


def test_the_table_says_what_is_known(modules, tables, tmp_path):
    table = tables["persons"]
    rows = {row.name: row for row in table.rows}
    for seed, ap in ((10, 0.5), (0, 0.4)):
        write_result(tmp_path, rows["masks"], seed, ap=ap, box_ap=None)
    for seed, ap in enumerate((0.2, 0.25, 0.36)):
        write_result(tmp_path, rows["full"], seed, ap=ap)
    write_failure(tmp_path, rows["full"], 3)
    write_failure(tmp_path, rows["mil"], 0)
    text = modules["study_report"].write_report(table, tmp_path)
    assert (tmp_path / "persons.md").read_text() == text
    lines = lines_of(text)
    assert lines["SOLOv2 from masks"] == [
        "SOLOv2 from masks", "45.0 (40.0-50.0)", "60.0 (60.0-60.0)", "20.0 (20.0-20.0)", "-",
        "70.0 (70.0-70.0)", "90.0 (90.0-90.0)", "", "0, 10",
    ]  # fmt: skip
    full = lines[rows["full"].title]
    assert full[1] == "27.0 (20.0-36.0)"
    assert full[-2] == "50.0%"  # of the seed that both have
    assert full[-1] == "0, 1, 2; 3 failed: ValueError: a or b"
    assert "| L_mil | failed |" in text
    assert "0 failed: ValueError" in text
    assert "| BoxInst of mmdet | not run |" in text
    assert "Photographs" not in text
    assert len(lines) == len(rows) + 2
    found = json.loads((tmp_path / "persons.json").read_text())["rows"]
    states = {row["row"]: row["state"] for row in found}
    assert (states["full"], states["mil"], states["boxinst"]) == ("done", "failed", "not run")
    assert found[4]["ap"]["values"] == [0.2, 0.25, 0.36]
    assert (tmp_path / "persons.png").stat().st_size > 1000


def test_one_plot_for_each_setting(modules, tables, tmp_path):
    table = tables["sensitivity"]
    report = modules["study_report"]
    report.write_report(table, tmp_path)
    assert list(tmp_path.glob("*.png")) == []
    for row in table.rows:
        write_result(tmp_path, row, 0)
    report.write_report(table, tmp_path)
    names = ("alpha_mil", "alpha_con", "alpha_nce", "consistency", "correspondence")
    assert {path.stem for path in tmp_path.glob("*.png")} == {f"sensitivity_{n}" for n in names}
    # the rows that are the same are run once
    for row in tables["data-size"].rows:
        if "photographs" in row.title:
            write_result(tmp_path, row, 0)
    text = report.write_report(tables["data-size"], tmp_path)
    assert "not run" not in text
    assert (tmp_path / "data-size_data_size.png").exists()


def test_a_report_neither_checks_nor_writes_settings(modules, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["persons", "--data", str(tmp_path), "--out", str(out), "--rows", "mil", "--report"]
    assert modules["study"].main(words) == 0
    assert "| L_mil | not run |" in capsys.readouterr().out
    assert not (out / "settings.json").exists()
    files = write_photographs(tmp_path / "data")
    settings = modules["study_settings"].Settings(out, epochs=4, data=tmp_path / "data")
    settings.check(files)
    before = (out / "settings.json").read_text()
    assert modules["study"].main(words) == 0
    text = capsys.readouterr().out
    assert "'epochs': 4" in text
    # of {}
    assert "the sha256 of: persons/train_boxes.json 44136fa355b3, persons/val.json 44136" in text
    assert (out / "settings.json").read_text() == before


def test_a_study_of_other_photographs_is_refused(modules, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(modules["study"].Run, "execute", lambda run: ran.append(run.row.name))
    write_photographs(tmp_path / "a")
    write_photographs(tmp_path / "b", text="[]")
    words = ["persons", "--out", str(tmp_path / "out"), "--rows", "mil", "--seeds", "0"]
    assert modules["study"].main([*words, "--data", str(tmp_path / "a")]) == 0
    with pytest.raises(ValueError, match="Expected the photographs"):
        modules["study"].main([*words, "--data", str(tmp_path / "b")])
    assert ran == ["mil"]


def test_a_dry_run_tells_the_commands_and_leaves_nothing(modules, tmp_path, capsys):
    words = ["persons", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--dry-run"]
    assert modules["study"].main([*words, "--rows", "mil", "--seeds", "1", "--batch", "16"]) == 0
    out = capsys.readouterr().out
    assert "# L_mil, seed 1, 6 epochs: not begun" in out
    assert "persons_solov2_lite0_mil.py" in out
    assert "--auto-scale-lr" in out
    assert "train_dataloader.batch_size=16" in out
    assert not (tmp_path / "out").exists()
    with pytest.raises(FileNotFoundError, match="Expected a folder of photographs"):
        modules["study"].main(["persons", "--data", str(tmp_path / "no"), *words[3:]])
