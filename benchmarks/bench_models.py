"""Detectors of the benchmarks: one network under several kinds of supervision.

Stock and BoxInst detectors are derived from a DiscoBox config: backbone, neck, towers, grids and
anchors stay the same, the supervision changes.
"""

from __future__ import annotations

import copy
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper

import mmdet_discobox  # noqa: F401 - registers everything
from mmdet_discobox.models.teachers import StructuredTeacher
from mmdet_discobox.structures import BoxObjects, PseudoMasks

ADDED = (
    "structured_teacher", "loss_mil", "loss_consistency", "loss_nce", "teacher_network",
    "prediction_refiner",
)  # fmt: skip
STOCK, FULL, ALONE, BOXINST = "stock", "full", "alone", "boxinst"
CONFIGS = Path(__file__).resolve().parents[1] / "configs"
BOXINST_CONFIG = CONFIGS / "_base_" / "models" / "boxinst_lite0.py"
#: objects of each class in a full bank
BANK_OBJECTS = 100


@dataclass(frozen=True)
class Variant:
    """A row of the tables: a detector in a phase of its training.

    Attributes:
        name: name in the table.
        kind: kind of the detector.
        gates: whether ``L_con``, and the cross-image term with ``L_nce``, have started.
    """

    name: str
    kind: str
    gates: tuple[bool, bool] = (True, True)


def variants(config: Config) -> list[Variant]:
    """Return all rows of a DiscoBox config, the stock detector first."""
    rows = [Variant(f"{stock_model(config.model).type}, masks", STOCK)]
    if config.model.type == "DiscoBoxSOLOv2" and importlib.util.find_spec("skimage"):
        rows.append(Variant("BoxInst", BOXINST))
    return [
        *rows,
        Variant("L_mil", FULL, (False, False)),
        Variant("L_mil, L_con", FULL, (True, False)),
        Variant("L_mil, L_con, L_nce", FULL),
        Variant("L_mil, L_con; no EMA", ALONE, (True, False)),
        Variant("L_mil, L_con, L_nce; no EMA", ALONE),
    ]


def stock_model(model: ConfigDict) -> ConfigDict:
    """Return the mask-supervised detector of mmdet with the layers of a DiscoBox one."""
    stock = copy.deepcopy(model)
    for key in ADDED:
        stock.pop(key, None)
    if model.type == "DiscoBoxSOLOv2":
        loss = dict(type="DiceLoss", use_sigmoid=True, loss_weight=3.0)
        stock.type, stock.mask_head.type, stock.mask_head.loss_mask = "SOLOv2", "SOLOV2Head", loss
        return stock
    if model.type == "DiscoBoxCondInst":
        stock.type, stock.bbox_head.type = "CondInst", "CondInstBboxHead"
        return stock
    if model.type == "DiscoBoxRTMDetIns":
        stock.type, stock.bbox_head.type = "RTMDet", "RTMDetInsSepBNHead"
        return stock
    stock.type, stock.bbox_head.type = "YOLACT", "YOLACTHead"
    stock.mask_head.type = "YOLACTProtonet"
    for key in ("rescoring", "with_seg_branch"):  # the stock head always has the branch
        stock.mask_head.pop(key, None)
    return stock


def boxinst_model(model: ConfigDict) -> ConfigDict:
    """Return `models/boxinst_lite0.py` with the backbone and the widths of a SOLOv2."""
    rival = Config.fromfile(BOXINST_CONFIG).model
    width, head = model.neck.out_channels, model.mask_head
    colours = {k: v for k, v in model.data_preprocessor.items() if k not in ("type", "pad_mask")}
    rival.data_preprocessor.update(copy.deepcopy(colours))
    rival.backbone = copy.deepcopy(model.backbone)
    rival.neck.update(in_channels=model.neck.in_channels, out_channels=width)
    rival.bbox_head.update(
        num_classes=head.num_classes,
        in_channels=width,
        feat_channels=width,
        stacked_convs=head.stacked_convs,
        norm_cfg=head.get("norm_cfg", rival.bbox_head.norm_cfg),
    )
    rival.mask_head.mask_feature_head.update(
        in_channels=width, feat_channels=head.mask_feature_head.feat_channels
    )
    return rival


def model_config(
    config: Config, kind: str, *, classes: int | None = None, divisor: int | None = 32
) -> ConfigDict:
    """Return the config of a detector.

    Args:
        config: config of a DiscoBox detector.
        kind: kind of the variant.
        classes: number of classes; None keeps the config's.
        divisor: divisor of the padded sides of a batch; None keeps the config's padding, which is
            a fixed size for YOLACT.
    """
    model = copy.deepcopy(config.model)
    if divisor is not None:
        model.data_preprocessor.update(pad_size_divisor=divisor)
    model.data_preprocessor.pop("batch_augments", None)
    if kind == ALONE:
        model.teacher_network = None
    changed = {STOCK: stock_model, BOXINST: boxinst_model}.get(kind, copy.deepcopy)(model)
    for head in ("bbox_head", "mask_head"):
        if classes is not None and "num_classes" in changed.get(head, {}):
            changed[head].num_classes = classes
    return changed


class Trainee:
    """A detector with its optimiser, for complete training steps that do not change it.

    The learning rate is 0, so all steps have the same weights. The object bank is full, so matching
    has its full cost from the first step.

    Args:
        config: config of a DiscoBox detector.
        kind: kind of the variant.
        device: device of the training.
        classes: number of classes; None keeps the config's.
        divisor: see :func:`model_config`.
    """

    def __init__(
        self,
        config: Config,
        kind: str,
        device: str,
        *,
        classes: int | None = None,
        divisor: int | None = 32,
    ) -> None:
        torch.manual_seed(0)
        MessageHub.get_current_instance().update_info("iter", 0)  # BoxInst's loss reads it
        changed = model_config(config, kind, classes=classes, divisor=divisor)
        self.config = config
        self.model = MODELS.build(changed).to(device).train()
        if "channels_last" in config.get("default_hooks", {}):
            self.model.to(memory_format=torch.channels_last)
        self._optimisation = copy.deepcopy(config.optim_wrapper)
        self._optimisation.optimizer.lr = 0.0
        self.set_wrapper(self._optimisation.get("type", "OptimWrapper"))
        self.teacher = getattr(self.model, "teacher", None)
        self.average()
        self.structured_teacher = getattr(self.model, "structured_teacher", None)
        if self.structured_teacher is not None:
            sizes = dict(classes=self.model.num_classes, channels=self.model.feature_channels)
            fill_bank(self.structured_teacher, **sizes, device=device)

    def set_wrapper(self, name: str) -> None:
        """Replace the optimiser and its wrapper, whose class sets the precision."""
        optimisation = {**copy.deepcopy(self._optimisation), "type": name}
        self.optim_wrapper: Any = build_optim_wrapper(self.model, optimisation)

    def set_gates(self, gates: tuple[bool, bool]) -> None:
        """Set the phase of the training, see :class:`Variant`."""
        if self.structured_teacher is None:
            return
        self.structured_teacher.consistency_gate.set(gates[0])
        if self.structured_teacher.correspondence_gate is not None:
            self.structured_teacher.correspondence_gate.set(gates[1])

    def step(self, batch: dict[str, Any]) -> None:
        """Update the weights and the teacher network from a batch of a loader."""
        self.model.train_step(batch, self.optim_wrapper)
        self.average()

    def forward(self, batch: dict[str, Any]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Compute the sum of the losses, and each loss, of a batch as a loader gives it."""
        with self.optim_wrapper.optim_context(self.model):
            data = self.model.data_preprocessor(batch, True)
            total, log = self.model.parse_losses(self.model(**data, mode="loss"))
        return total, log

    def optimise(self) -> None:
        """Update the weights and clear the gradients."""
        self.optim_wrapper.step()
        self.optim_wrapper.zero_grad()

    def average(self) -> None:
        """Update the teacher network, if there is one."""
        if self.teacher is not None:
            self.teacher.update_parameters(self.model)


def fill_bank(teacher: StructuredTeacher, *, classes: int, channels: int, device: str) -> None:
    """Fill the object bank with random objects of all classes, as training steps do.

    Args:
        teacher: structured teacher; without a cross-image term there is no bank.
        classes: number of classes.
        channels: channels of the neck's outputs.
        device: device of the teacher.
    """
    count, size, side = BANK_OBJECTS, teacher.crop_size, 512
    maps = [torch.randn(1, channels, 32, 32, device=device)] * 5  # one per level
    corners = torch.rand(count, 2, device=device) * side / 2
    boxes = torch.cat([corners, corners + side / 2], 1)
    ones = torch.ones(count, size, size, dtype=torch.bool, device=device)
    index = torch.zeros(count, dtype=torch.long, device=device)
    sizes = torch.full((1, 2), float(side), device=device)
    for label in range(classes):
        objects = BoxObjects(boxes, index + label, index, sizes, image_ids=index - 1)
        features = teacher.roi_features(maps, objects, side)
        masks = torch.rand(count, size, size, device=device)
        pseudo = PseudoMasks(masks, ones, boxes, ones[:, 0, 0], masks[:, 0, 0], features)
        teacher.update_bank(pseudo, objects)


def read_config(path: str | Path) -> Config:
    """Read the config of a DiscoBox detector with a cross-image term.

    Raises:
        ValueError: if it is another config.
    """
    config = Config.fromfile(path)
    teacher = config.get("model", {}).get("structured_teacher") or {}
    if teacher.get("cross_image") is None:
        raise ValueError(
            f"Expected {path} to be a DiscoBox config whose `structured_teacher` has a "
            "`cross_image` term but it has none: use the config with all losses; the benchmark "
            "disables parts of it."
        )
    return config
