"""What a study is made of: every row is a config, with a few of its keys overridden."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of a table: one kind of training, run with several seeds.

    Attributes:
        name: of its folder, and for the command line.
        title: for people.
        data: the data set, also a folder: rows of several tables that are the same are run once.
        config: path.
        options: keys of the config, with dots, and what they are set to.
        bound: name of the row that is the same network trained from masks.
        boxes: whether it predicts boxes; stock SOLOv2 does not.
        trained_as: row whose trained networks are tested here with other options; None trains own.
        labelled_by: row whose trained networks first give the boxes they were trained on masks,
            which this row is trained on.
        stretch: by which factor the epochs are more, so that fewer images make as many steps.
    """

    name: str
    title: str
    data: str
    config: Path
    options: dict[str, Any] = field(default_factory=dict)
    bound: str | None = "masks"
    boxes: bool = True
    trained_as: Row | None = None
    labelled_by: Row | None = None
    stretch: float = 1.0


@dataclass(frozen=True)
class Plot:
    """Curves over a setting.

    Attributes:
        name: of the file.
        x_label: what the setting is.
        curves: for each curve by its title, the row at each value of the setting.
        log: whether the axis of the setting is logarithmic.
    """

    name: str
    x_label: str
    curves: dict[str, dict[float, str]]
    log: bool = False


@dataclass(frozen=True)
class Table:
    """Rows that are compared, and plots of them; without plots, bars are drawn."""

    name: str
    rows: tuple[Row, ...]
    plots: tuple[Plot, ...] = ()


def chosen(table: Table, names: list[str] | None) -> list[Row]:
    """The rows of a table that have these names, in their order; all if there are none.

    Raises:
        ValueError: if there is no such row.
    """
    known = {row.name: row for row in table.rows}
    if unknown := [name for name in names or [] if name not in known]:
        raise ValueError(
            f"Expected rows of '{table.name}', which are {list(known)}, but got {unknown}."
        )
    return [known[name] for name in names or known]
