"""The tables of the study: methods side by side, and one setting changed at a time.

Each row is a config with some of its keys overridden.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdet_discobox.engine.hooks import StartCondition, StructuredTeacherHook
from study_settings import read_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "lite0"
PERSONS = 740  # training images of persons
SIZES = (100, 300, PERSONS)
FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
WEIGHTS = dict(
    alpha_mil="model.loss_mil.loss_weight",
    alpha_con="model.loss_consistency.loss_weight",
    alpha_nce="model.loss_nce.loss_weight",
)
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
#: rows of SOLOv2 that are tested again with refined masks
REFINED = ("masks", "full", "self_trained")
Options = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A row of a table: one kind of training, run with several seeds.

    Attributes:
        name: name of its folder, and on the command line.
        title: title in the table.
        data: data set, and the name of its folder: equal rows of several tables are run once.
        config: path of the config.
        options: overridden keys of the config, with dots.
        bound: name of the row with the same network trained from masks.
        boxes: whether the network predicts boxes; stock SOLOv2 does not.
        trained_as: row whose trained networks are tested with other options; None trains own ones.
        labelled_by: row whose trained networks predict the masks for the training of this row, on
            their own training boxes.
        stretch: factor on the epochs, which keeps the number of steps with fewer images.
    """

    name: str
    title: str
    data: str
    config: Path
    options: Options = field(default_factory=dict)
    bound: str | None = "masks"
    boxes: bool = True
    trained_as: Row | None = None
    labelled_by: Row | None = None
    stretch: float = 1.0


@dataclass(frozen=True)
class Plot:
    """Curves over a setting.

    Attributes:
        name: name of the file.
        x_label: description of the setting.
        curves: for each curve by its title, the row at each value of the setting.
        log: whether the axis of the setting is logarithmic.
    """

    name: str
    x_label: str
    curves: dict[str, dict[float, str]]
    log: bool = False


@dataclass(frozen=True)
class Table:
    """Rows to compare, and their plots; without plots, bars are drawn."""

    name: str
    rows: tuple[Row, ...]
    plots: tuple[Plot, ...] = ()

    def select(self, names: list[str] | None) -> list[Row]:
        """Return the rows of these names in their order; None selects all.

        Raises:
            ValueError: if a row does not exist.
        """
        known = {row.name: row for row in self.rows}
        if unknown := [name for name in names or [] if name not in known]:
            raise ValueError(
                f"Expected rows of '{self.name}', which are {list(known)}, but got {unknown}."
            )
        return [known[name] for name in names or known]


def method(data: str, name: str) -> Row:
    """Return the row of a method on a data set, with its config unchanged."""
    title, stem, rest = METHODS[name]
    return Row(name, title, data, CONFIGS / f"{data}_{stem}.py", **rest)


def comparison(data: str) -> Table:
    """Compare all methods on a data set; without training masks there are no bounds."""
    methods = {name: method(data, name) for name in METHODS}
    rows = [row for row in methods.values() if row.config.exists()]
    if methods["masks"] in rows:
        self_trained = replace(
            methods["masks"],
            name="self_trained",
            title="SOLOv2 from the auto-labels of the default",
            bound="masks",
            labelled_by=methods["full"],
        )
        rows.append(self_trained)
    rows += [_refined(row, methods["full"].config) for row in rows if row.name in REFINED]
    return Table(data, tuple(rows))


def _refined(row: Row, config: Path) -> Row:
    """Test the networks of a row with the prediction refiner of a DiscoBox config."""
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
    """Vary one loss weight or gate of the default at a time, on persons."""
    full = method("persons", "full")
    config = read_config(full.config)
    rows, plots = [method("persons", "masks"), full], []

    def vary(setting: str, title: str, x_label: str, options: dict[float, Options]) -> None:
        """Add the rows of a setting and their plot; empty options are the default."""
        names = {x: f"{setting}_{x:g}" if options[x] else full.name for x in options}
        for x in [x for x in options if options[x]]:
            rows.append(Row(names[x], title.format(x), full.data, full.config, options[x]))
        plots.append(Plot(setting, x_label, {"from boxes": names}, log=setting in WEIGHTS))

    for weight, key in WEIGHTS.items():
        base = _value(config, key)
        options = {x: {} if x == 1 else {key: round(base * x, 6)} for x in FACTORS}
        vary(weight, f"{weight} x {{:g}}", f"{weight}, in units of {base:g}", options)
    for gate, fractions in GATES.items():
        options = {x: _start_at(config, gate, x) for x in fractions}
        vary(gate, f"{gate} from {{:.0%}}", f"{gate} starts at this share of the steps", options)
    return Table("sensitivity", tuple(rows), tuple(plots))


def _value(config: Config, key: str) -> Any:
    for part in key.split("."):
        config = config[part]
    return config


def _start_at(config: Config, gate: str, fraction: float) -> Options:
    """Return options that open a gate at a fraction; none if that is the config's setting."""
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
    """Train on subsets of persons for the same number of steps, from masks and from boxes."""
    rows: list[Row] = []
    curves: dict[str, dict[float, str]] = {}
    for base in (method("persons", "masks"), method("persons", "full")):
        for size in SIZES:
            name = base.name if size == PERSONS else f"{base.name}_{size}"
            curves.setdefault(base.title, {})[size] = name
            rows.append(base if size == PERSONS else _subset(base, name, size))
    return Table("data-size", tuple(rows), (Plot("data_size", "photographs", curves, log=True),))


def _subset(base: Row, name: str, size: int) -> Row:
    return replace(
        base,
        name=name,
        title=f"{base.title}, {size} photographs",
        options={"train_dataloader.dataset.indices": size},
        bound=base.bound and f"{base.bound}_{size}",
        stretch=PERSONS / size,
    )


TABLES: dict[str, Callable[[], Table]] = {
    "persons": lambda: comparison("persons"),
    "animals": lambda: comparison("animals"),
    "sensitivity": sensitivity,
    "data-size": data_size,
}
