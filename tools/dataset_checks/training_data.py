"""Build the data set of a config as the training does, and ask it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmdet.registry import DATASETS
from mmengine.registry import init_default_scope

from mmdet_discobox.annotation_files.coco_values import quote_some
from mmdet_discobox.utils.types import type_name

from .findings import Finding
from .training_settings import TrainingSettings, data_set_chain

#: what building a data set raises on files that it cannot use
_FAILURES = (ValueError, TypeError, KeyError, IndexError, AssertionError, OSError, ImportError)


class TrainingData:
    """The data set of a config, on the json and the images that are checked.

    Among several data sets, as in a ``ConcatDataset``, that of the json is meant. A config with a
    single data set of another json gets the checked one.

    Args:
        config: config of mmdet with a ``train_dataloader``.
        ann_file: the json.
        image_dir: folder of its images.

    Raises:
        ValueError: if the config has several data sets, and none is of the json.
    """

    def __init__(
        self, config: Mapping[str, Any], ann_file: str | Path, image_dir: str | Path
    ) -> None:
        init_default_scope(config.get("default_scope", "mmdet"))
        self.config = copy.deepcopy(config["train_dataloader"]["dataset"])
        chain = data_set_chain(self.config, is_meant=lambda each: _is_of(each, Path(ann_file)))
        if not chain:
            files = [each for each in _json_files(self.config) if each]
            if len(files) > 1:
                raise ValueError(
                    f"Expected ANN_JSON to be one of the data sets of --config, which are "
                    f"{quote_some(files)}, but got '{ann_file}'. Pass one of these."
                )
            chain = data_set_chain(self.config)
        self.leaf = chain[-1]
        self.leaf["data_root"] = ""
        self.leaf["ann_file"] = str(Path(ann_file).absolute())
        prefix = dict(self.leaf.get("data_prefix") or {}, img=str(Path(image_dir).absolute()))
        self.leaf["data_prefix"] = prefix
        if type_name(self.leaf.get("type")) == "CocoBoxDataset":
            self.leaf["check_images"] = False  # the check reads each of them

    def ask_classes(self, settings: TrainingSettings) -> TrainingSettings:
        """Return the settings with the classes of the data set, which may come from a file."""
        if "metainfo" not in self.leaf:
            return settings
        try:
            classes = DATASETS.build(dict(self.leaf, lazy_init=True)).metainfo.get("classes")
        except _FAILURES:
            return settings  # `ask_length` reports why
        return settings if classes is None else replace(settings, classes=tuple(classes))

    def ask_length(self, settings: TrainingSettings) -> tuple[TrainingSettings, list[Finding]]:
        """Build the whole data set; return the settings with its length, or why it fails."""
        try:
            built = DATASETS.build(self.config)
            return replace(settings, num_samples=len(built)), []
        except _FAILURES as error:
            text = f"The data set of the config cannot be built: {type(error).__name__}: {error}"
            return settings, [Finding("error", text.rstrip("."), "Training stops at this, too")]


def _is_of(dataset: Mapping[str, Any], path: Path) -> bool:
    name = _json_file(dataset)
    return name is not None and Path(name).resolve() == path.resolve()


def _json_file(dataset: Mapping[str, Any]) -> str | None:
    name = dataset.get("ann_file")
    return None if not name else str(Path(dataset.get("data_root") or "", name))


def _json_files(dataset: Mapping[str, Any]) -> list[str | None]:
    inner = dataset.get("dataset", dataset.get("datasets"))
    if not inner:
        return [_json_file(dataset)]
    inside = [inner] if isinstance(inner, Mapping) else inner
    return [name for each in inside for name in _json_files(each)]
