"""A whole training config for a data set, as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mmengine.config import Config

from dataset_checks import TrainingSettings
from dataset_checks.mask_findings import true_masks
from dataset_checks.suggestions import suggest
from mmdet_discobox.annotation_files.box_table import BoxTable
from mmdet_discobox.annotation_files.coco_reading import read_coco
from mmdet_discobox.annotation_files.coco_values import quote_some
from mmdet_discobox.annotation_files.true_masks import MACHINE, find_mask_problems, mask_source
from mmdet_discobox.evaluation.coco_masks import annotations_without_mask
from mmdet_discobox.utils.types import Json

from .networks import NETWORKS, Network
from .plan import Plan, plan_training
from .template import MASKS, NO_VALIDATION, TEMPLATE, VALIDATION

#: SOLOv2's ranges of sizes and grids are changed if so many more of the boxes get a cell
_CELL_GAIN = 0.03
#: share of boxes below 16 pixels that a comment reports
_MANY_TINY = 0.05
_NO_VAL = "# No json to validate on was given: tests run on the images of the training.\n"


@dataclass(frozen=True)
class DataFiles:
    """Files of a training.

    Attributes:
        train: json of the boxes to train on.
        train_images: folder of its images.
        val: json of the images to validate on; None does not validate.
        val_images: folder of its images; None is that of the training.
    """

    train: Path
    train_images: Path
    val: Path | None = None
    val_images: Path | None = None


@dataclass(frozen=True)
class StarterConfig:
    """A config of a training.

    Attributes:
        text: the config; its paths are absolute, and its base is mmdet's, so it works in any
            folder.
        network: the network that it trains.
        plan: the settings that depend on the data.
    """

    text: str
    network: Network
    plan: Plan

    def config(self) -> Config:
        """Parse the text."""
        return Config.fromstring(self.text, ".py")


def starter_config(
    files: DataFiles, network: str = "solov2", *, use_masks: bool = False
) -> StarterConfig:
    """Write the config of a training that starts from weights of COCO.

    Args:
        files: the data.
        network: one of :data:`NETWORKS`.
        use_masks: whether objects with a true mask train on it.

    Raises:
        FileNotFoundError: if a json is missing.
        ValueError: if a json has problems, that for validation lacks classes of the training or has
            them in another order, a class or path has ``{{``, or no object has a true mask to use.
    """
    table = BoxTable(read_coco(files.train, masks=use_masks))
    masks = _count_masks(table, files.train) if use_masks else 0
    classes = [category["name"] for category in table.dataset["categories"]]
    _check_templates(files, classes)
    val = None if files.val is None else _validation(files.val, classes)
    kind = NETWORKS[network]
    plan = plan_training(table, kind)
    text = partial(_text, files, kind, plan, table, val, masks=masks)
    written = StarterConfig(text(cells=""), kind, plan)
    if cells := _cells(table, written.config()):
        written = replace(written, text=text(cells=cells))
    return written


def _count_masks(table: BoxTable, path: Path) -> int:
    if not (count := len(true_masks(table, find_mask_problems(table.dataset)))):
        raise ValueError(
            f"Expected masks of a person in '{path}' to train on, but none of its "
            f"{table.trained.sum()} objects has one that can be used. Leave out --use-masks: the "
            "check then lists unusable masks, and auto-labels that nobody accepted."
        )
    return count


def _validation(path: Path, classes: Sequence[str]) -> Json:
    dataset = read_coco(path)
    names = {category["name"] for category in dataset["categories"]}
    if missing := [name for name in classes if name not in names]:
        raise ValueError(
            f"Expected '{path}' to have all classes of the training in its `categories`, but it "
            f"lacks {quote_some(missing)}. Add them: a class may have no boxes there."
        )
    order = [category["name"] for category in dataset["categories"]]
    if [name for name in order if name in classes] != list(classes):
        raise ValueError(
            f"Expected '{path}' to have the classes in the order of the training, "
            f"[{quote_some(classes)}], but its `categories` are [{quote_some(order)}]. Sort them: "
            "mmdet numbers the classes in the order of each json."
        )
    return dataset


def _check_templates(files: DataFiles, classes: Sequence[str]) -> None:
    """Refuse what mmengine replaces when it reads a config."""
    paths = (files.train, files.train_images, files.val, files.val_images)
    texts = [*classes, *(_path(path) for path in paths if path is not None)]
    if found := [text for text in texts if "{{" in text]:
        raise ValueError(
            "Expected names of classes and paths without '{{', which mmengine replaces in configs, "
            f"but got {quote_some(found)}. Rename them."
        )


def _cells(table: BoxTable, config: Config) -> str:
    """Return keys of SOLOv2's head if those for COCO leave many boxes without a cell."""
    settings = TrainingSettings.from_config(config)
    if not settings.scale_ranges:
        return ""
    found = suggest(table, settings)
    if found.cell_share < found.present_cell_share + _CELL_GAIN:
        return ""
    return (
        f"        # a cell for {found.cell_share:.0%} of the boxes; with COCO's ranges and grids, "
        f"for {found.present_cell_share:.0%}\n"
        f"        scale_ranges={found.scale_ranges!r},\n"
        f"        num_grids={list(found.num_grids)!r},\n"
    )


def _text(
    files: DataFiles,
    network: Network,
    plan: Plan,
    table: BoxTable,
    val: Json | None,
    *,
    cells: str,
    masks: int,
) -> str:
    classes = tuple(category["name"] for category in table.dataset["categories"])
    folder, _, file = network.weights.rpartition("/")
    tested = files.val is not None
    test_images = (files.val_images if tested else None) or files.train_images
    return (
        TEMPLATE.format(
            title=network.title,
            name=files.train.name.replace("\\", "/").replace('"', "'"),
            base=network.base,
            counts=f"{len(table.image_sizes)} images with {table.trained.sum()} boxes "
            + f"({masks} with a true mask) " * bool(masks)
            + f"of {len(classes)} class{'es' * (len(classes) != 1)}",
            classes="({},)".format(", ".join(map(_quoted, classes))),
            tiny=_tiny(plan),
            image_scale=plan.image_scale,
            why_scale=_why_scale(plan),
            batch_size=plan.batch_size,
            weights_folder=folder,
            weights_file=file,
            model=network.model.format(classes=len(classes), cells=cells),
            optimiser=network.optimiser,
            steps=f"{plan.steps:,}",
            epochs=plan.epochs,
            interval=plan.interval,
            warm_up=plan.warm_up,
            resize=_resize(network),
            filter_cfg="None" if network.keeps_empty else "dict(filter_empty_gt=True, min_size=0)",
            train=_path(files.train),
            train_images=_path(files.train_images),
            tested="" if tested else _NO_VAL,
            test=_path(files.val or files.train),
            test_images=_path(test_images),
            metric=_metric(val),
            validation=VALIDATION if tested else NO_VALIDATION,
            and_masks=" and true masks" * bool(masks),
            **(MASKS if masks else dict.fromkeys(MASKS, "")),
        ).rstrip()
        + "\n"
    )


def _why_scale(plan: Plan) -> str:
    size = "{} x {}".format(*plan.image_size)
    if plan.enlarged:
        return f"enlarged from {size} pixels {plan.enlarged}; smaller is faster"
    return f"median size of the images: {size} pixels"


def _tiny(plan: Plan) -> str:
    if plan.tiny_share < _MANY_TINY:
        return ""
    return (
        f"# {plan.tiny_share:.0%} of the boxes are below 16 pixels at this scale: consider tiles "
        "(docs/large_images.md)\n"
    )


def _resize(network: Network) -> str:
    if not network.multi_scale:
        return 'dict(type="Resize", scale=image_scale, keep_ratio=True)'
    return (
        'dict(\n        type="RandomChoiceResize",\n'
        "        scales=[tuple(round(f * side) for side in image_scale) for f in (0.8, 0.9, 1)],\n"
        "        keep_ratio=True,\n    )"
    )


def _path(path: Path) -> str:
    return _quoted(path.absolute().as_posix() + ("/" if path.is_dir() else ""))


def _quoted(text: str) -> str:
    """Write a string as Python does, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _metric(val: Json | None) -> str:
    """Choose mask AP if every annotation, crowds as well, has a mask, and none is an auto-label."""
    if val is None or not val["annotations"] or annotations_without_mask(val):
        return '"bbox"'
    return '"bbox"' if MACHINE in map(mask_source, val["annotations"]) else '["bbox", "segm"]'
