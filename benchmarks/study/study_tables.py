"""The tables of the study: methods side by side, and one setting changed at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdet_discobox.engine.hooks import StartCondition, StructuredTeacherHook
from study_configs import read_config
from study_rows import Plot, Row, Table

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "lite0"
PERSONS = 740  # photographs of persons to train on
SIZES = (100, 300, PERSONS)
FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
WEIGHTS = dict(
    alpha_mil="model.mask_head.loss_mask.loss_weight",
    alpha_con="model.loss_consistency.loss_weight",
    alpha_nce="model.loss_nce.loss_weight",
)
Options = dict[str, Any]
GATES = dict(consistency=(0.0, 0.1, 0.25, 0.5), correspondence=(0.0, 0.2, 0.4, 0.6, 0.8))
METHODS = dict(
    masks=("SOLOv2 from masks", "solov2_lite0_mask", dict(bound=None, boxes=False)),
    boxinst=("BoxInst of mmdet", "boxinst_lite0", {}),
    mil=("L_mil", "solov2_lite0_mil", {}),
    mil_con=("L_mil + L_con", "solov2_lite0_mil_con", {}),
    full=("L_mil + L_con + L_nce (the default)", "solov2_lite0", {}),
    no_ema=("the same without the teacher network", "solov2_lite0_no_ema", {}),
    paper=("the same with the paper's teacher", "solov2_lite0_paper", {}),
    yolact_masks=("YOLACT++ from masks", "yolact_lite0_mask", dict(bound=None)),
    yolact=("YOLACT++: L_mil + L_con + L_nce", "yolact_lite0", dict(bound="yolact_masks")),
)


#: rows of SOLOv2 that are tested again, with their masks refined
REFINED = ("masks", "full", "self_trained")


def method(data: str, name: str) -> Row:
    """The row of a method on a data set, as its config ships."""
    title, stem, rest = METHODS[name]
    return Row(name, title, data, CONFIGS / f"{data}_{stem}.py", **rest)


def comparison(data: str) -> Table:
    """All methods on a data set; one without masks to train on has no bounds."""
    methods = {name: method(data, name) for name in METHODS}
    rows = [row for row in methods.values() if row.config.exists()]
    if methods["masks"] in rows:
        rows.append(_self_trained(methods))
    rows += [_refined(row, methods["full"].config) for row in rows if row.name in REFINED]
    return Table(data, tuple(rows))


def _self_trained(methods: dict[str, Row]) -> Row:
    """Stock SOLOv2 from masks that the default, trained on the boxes, then gave them."""
    return replace(
        methods["masks"],
        name="self_trained",
        title="SOLOv2 from the auto-labels of the default",
        bound="masks",
        labelled_by=methods["full"],
    )


def _refined(row: Row, config: Path) -> Row:
    """The networks of a row, whose predicted masks a DiscoBox refines at test time."""
    return Row(
        f"{row.name}_refined",
        f"{row.title}, refined at test time",
        row.data,
        config,
        {"model.prediction_refiner.type": "PredictionRefiner"},
        bound=row.bound and f"{row.bound}_refined",
        trained_as=row,
    )


def sensitivity() -> Table:
    """Everything on, one weight or gate changed at a time, on persons."""
    full = method("persons", "full")
    config = read_config(full.config)
    rows, plots = [method("persons", "masks"), full], []

    def vary(setting: str, title: str, x_label: str, options: dict[float, Options]) -> None:
        """Add the rows of a setting and their plot; without options it is the default."""
        names = {x: f"{setting}_{x:g}" if options[x] else full.name for x in options}
        for x in [x for x in options if options[x]]:
            rows.append(Row(names[x], title.format(x), full.data, full.config, options[x]))
        plots.append(Plot(setting, x_label, {"from boxes": names}, log=setting in WEIGHTS))

    for weight, key in WEIGHTS.items():
        base = _value(config, key)
        options = {x: {} if x == 1 else {key: round(base * x, 6)} for x in FACTORS}
        vary(weight, f"{weight} x {{:g}}", f"{weight}, in units of {base:g}", options)
    for gate, fractions in GATES.items():
        options = {x: _opening(config, gate, x) for x in fractions}
        vary(gate, f"{gate} from {{:.0%}}", f"{gate} opens at this share of the steps", options)
    return Table("sensitivity", tuple(rows), tuple(plots))


def _value(config: Config, key: str) -> Any:
    for part in key.split("."):
        config = config[part]
    return config


def _opening(config: Config, gate: str, fraction: float) -> Options:
    """Options that open a gate of the teacher at a fraction; none if the config does already."""
    kinds = [hook["type"] for hook in config.custom_hooks]
    index = kinds.index("StructuredTeacherHook")
    hook = {key: value for key, value in config.custom_hooks[index].items() if key != "type"}
    present = getattr(StructuredTeacherHook(**hook), gate)
    at_once = fraction == 0 and present == StartCondition(iteration=0)
    if at_once or present == StartCondition(fraction=fraction):
        return {}
    wanted = {**dict.fromkeys(hook.get(gate) or {}), "fraction": fraction}  # None: no condition
    return {f"custom_hooks.{index}.{gate}.{name}": value for name, value in wanted.items()}


def data_size() -> Table:
    """The first photographs of persons alone, for as many steps, from masks and from boxes."""
    rows: list[Row] = []
    curves: dict[str, dict[float, str]] = {}
    for base in (method("persons", "masks"), method("persons", "full")):
        for size in SIZES:
            name = base.name if size == PERSONS else f"{base.name}_{size}"
            curves.setdefault(base.title, {})[size] = name
            rows.append(base if size == PERSONS else _smaller(base, name, size))
    return Table("data-size", tuple(rows), (Plot("data_size", "photographs", curves, log=True),))


def _smaller(base: Row, name: str, size: int) -> Row:
    return Row(
        name,
        f"{base.title}, {size} photographs",
        base.data,
        base.config,
        {"train_dataloader.dataset.indices": size},
        bound=base.bound and f"{base.bound}_{size}",
        boxes=base.boxes,
        stretch=PERSONS / size,
    )


TABLES: dict[str, Callable[[], Table]] = {
    "persons": lambda: comparison("persons"),
    "animals": lambda: comparison("animals"),
    "sensitivity": sensitivity,
    "data-size": data_size,
}
