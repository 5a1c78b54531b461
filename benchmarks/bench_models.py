"""The detectors that the bench of the training step compares: one network, taught in several ways.

Whatever DiscoBox config is measured, its rivals are made from it: backbone, neck, towers, grids
and anchors stay, the supervision changes.
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
from mmdet_discobox.structures import ObjectBank

ADDED = (
    "loss_mil", "structured_teacher", "loss_consistency", "loss_nce", "teacher_network",
    "prediction_refiner",
)  # fmt: skip
STOCK, FULL, ALONE, BOXINST = "stock", "full", "alone", "boxinst"
CONFIGS = Path(__file__).resolve().parents[1] / "configs"
BOXINST_CONFIG = CONFIGS / "_base_" / "models" / "boxinst_lite0.py"


@dataclass(frozen=True)
class Variant:
    """A row of the tables: a detector in a phase of its training.

    Attributes:
        name: for people.
        kind: which detector is built.
        gates: whether ``L_con``, and the cross-image term with ``L_nce``, have started.
    """

    name: str
    kind: str
    gates: tuple[bool, bool] = (True, True)


def variants(config: Config) -> list[Variant]:
    """All rows of a DiscoBox config, the stock detector first."""
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
    """The mask-supervised detector of mmdet with the layers of a DiscoBox one."""
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
    stock.type, stock.bbox_head.type = "YOLACT", "YOLACTHead"
    stock.mask_head.type = "YOLACTProtonet"
    for key in ("rescoring", "loss_mil", "with_seg_branch"):  # the stock one cannot do without
        stock.mask_head.pop(key, None)
    return stock


def boxinst_model(model: ConfigDict) -> ConfigDict:
    """BoxInst of `models/boxinst_lite0.py` on the backbone and with the widths of a SOLOv2."""
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
    """The config of one detector.

    Args:
        config: of a DiscoBox detector.
        kind: of the variant.
        classes: number of classes; None leaves the config's.
        divisor: sides of a batch are padded to multiples of it; None leaves the config's, which
            in YOLACT's configs pads to one size.
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
    """A detector with its optimiser, ready for real training steps that leave it as it is.

    The learning rate is 0: everything is computed, and every step meets the same weights. The
    object bank is full, so that matching has its full cost from the first step.

    Args:
        config: of a DiscoBox detector.
        kind: of the variant.
        device: to train on.
        classes: number of classes; None leaves the config's.
        divisor: as of :func:`model_config`.
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
        self.cross_image = getattr(self.structured_teacher, "cross_image", None)
        if self.cross_image is not None:
            fill_bank(self.cross_image.bank)

    def set_wrapper(self, name: str) -> None:
        """Replace the optimiser and its wrapper, whose class sets the precision."""
        optimisation = {**copy.deepcopy(self._optimisation), "type": name}
        self.optim_wrapper: Any = build_optim_wrapper(self.model, optimisation)

    def set_gates(self, gates: tuple[bool, bool]) -> None:
        """Choose the phase of the training."""
        if self.structured_teacher is not None:
            self.structured_teacher.consistency_gate.set(gates[0])
        if self.cross_image is not None:
            self.cross_image.gate.set(gates[1])

    def step(self, batch: dict[str, Any]) -> None:
        """From a batch as a loader gives it to moved weights, and a moved teacher."""
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


def fill_bank(bank: ObjectBank) -> None:
    """Push as many random objects of every class as the bank holds."""
    device, (_, *shape) = bank.features.device, bank.features.shape
    count = bank.capacity
    for label in range(bank.num_classes):
        bank.push(
            torch.randn(count, *shape, device=device),
            torch.rand(count, *shape[1:], device=device),
            torch.full((count,), label, device=device),
            torch.full((count,), -1, device=device),
            torch.full((count,), float(bank.min_area), device=device),
            torch.ones(count, dtype=torch.bool, device=device),
        )


def read_config(path: str | Path) -> Config:
    """Read a config and check that it is one of DiscoBox with a cross-image term.

    Raises:
        ValueError: if it is not.
    """
    config = Config.fromfile(path)
    teacher = config.get("model", {}).get("structured_teacher") or {}
    if teacher.get("cross_image") is None:
        raise ValueError(
            f"Expected {path} to be a DiscoBox config whose `structured_teacher` has a "
            "`cross_image` term but it has none: give the config with all losses, the bench "
            "leaves parts out by itself."
        )
    return config
