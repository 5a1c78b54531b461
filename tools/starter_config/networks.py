"""The networks that a starter config can train, each with weights that mmdet trained on COCO."""

from __future__ import annotations

from dataclasses import dataclass

_WEIGHTS = "https://download.openmmlab.com/mmdetection/"
_LOSSES = """\
    loss_mil=dict(type="BoxMILLoss", form="dice"),
    loss_consistency=dict(type="MaskConsistencyLoss", form="dice", outside=1.0, loss_weight=3.0),
"""
_SGD = """\
optim_wrapper = dict(
    optimizer=dict(lr=0.01),  # for 16 images a step
    clip_grad=dict(max_norm=35, norm_type=2),
)
auto_scale_lr = dict(enable=True, base_batch_size=16)
"""


@dataclass(frozen=True)
class Network:
    """A network with masks of mmdet, and how DiscoBox trains it from boxes.

    Attributes:
        title: name for people.
        base: config of mmdet.
        weights: URL of the weights that mmdet lists for this network in its ``metafile.yml``.
        model: text of the keys of ``model``; ``{classes}`` is their number, ``{cells}`` further
            keys of SOLOv2's head.
        optimiser: text of the optimiser, whose rate follows the number of images per step.
        largest: longest and shortest side of an image in pixels.
        pixels: pixels of the images of a step, by the memory of a small GPU.
        fixed: whether every image has the largest size, to which the anchors are tied.
        multi_scale: whether training images have one of three sizes.
        keeps_empty: whether images without boxes train.
    """

    title: str
    base: str
    weights: str
    model: str
    optimiser: str = _SGD
    largest: tuple[int, int] = (1333, 800)
    pixels: float = 2 * 1333 * 800
    fixed: bool = False
    multi_scale: bool = True
    keeps_empty: bool = True


def _rtmdet_ins(size: str, weights: str, pixels: float) -> Network:
    return Network(
        title=f"RTMDet-Ins-{size}",
        base=f"mmdet::rtmdet/rtmdet-ins_{size}_8xb32-300e_coco.py",
        weights=f"{_WEIGHTS}v3.0/rtmdet/rtmdet-ins_{size}_8xb32-300e_coco/"
        f"rtmdet-ins_{size}_8xb32-300e_coco_{weights}.pth",
        model=f"""\
    type="DiscoBoxRTMDetIns",
    data_preprocessor=dict(pad_size_divisor=32),
    bbox_head=dict(type="DiscoBoxRTMDetInsSepBNHead", num_classes={{classes}}),
{_LOSSES}""",
        optimiser="""\
optim_wrapper = dict(
    constructor="StudentOptimWrapperConstructor",
    optimizer=dict(lr=0.004),  # for 256 images a step
    clip_grad=dict(max_norm=35, norm_type=2),
)
auto_scale_lr = dict(enable=True, base_batch_size=256)
""",
        largest=(960, 960),
        pixels=pixels,
    )


NETWORKS = {
    "solov2": Network(
        title="SOLOv2 with ResNet-50",
        base="mmdet::solov2/solov2_r50_fpn_1x_coco.py",
        weights=f"{_WEIGHTS}v2.0/solov2/solov2_r50_fpn_3x_coco/"
        "solov2_r50_fpn_3x_coco_20220512_125856-fed092d4.pth",
        model=f"""\
    type="DiscoBoxSOLOv2",
    mask_head=dict(
        type="DiscoBoxSOLOv2Head",
        num_classes={{classes}},
{{cells}}    ),
{_LOSSES}""",
    ),
    "condinst": Network(
        title="CondInst with ResNet-50",
        base="mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py",
        weights=f"{_WEIGHTS}v3.0/condinst/condinst_r50_fpn_ms-poly-90k_coco_instance/"
        "condinst_r50_fpn_ms-poly-90k_coco_instance_20221129_125223-4c186406.pth",
        model=f"""\
    type="DiscoBoxCondInst",
    bbox_head=dict(type="DiscoBoxCondInstBboxHead", num_classes={{classes}}),
{_LOSSES}""",
    ),
    "rtmdet-ins": _rtmdet_ins("s", "20221121_212604-fdc5d7ec", 5e6),
    "rtmdet-ins-tiny": _rtmdet_ins("tiny", "20221130_151727-ec670f7e", 5e6),
    "yolact": Network(
        title="YOLACT with ResNet-50",
        base="mmdet::yolact/yolact_r50_1xb8-55e_coco.py",
        weights=f"{_WEIGHTS}v2.0/yolact/yolact_r50_1x8_coco/"
        "yolact_r50_1x8_coco_20200908-f38d58df.pth",
        model="""\
    type="DiscoBoxYOLACT",
    data_preprocessor=dict(pad_size_divisor=550),
    bbox_head=dict(type="DiscoBoxYOLACTHead", num_classes={classes}),
    mask_head=dict(
        type="DiscoBoxYOLACTProtonet", num_classes={classes}, with_seg_branch=False, rescoring=None
    ),
    loss_mil=dict(type="BoxMILLoss", form="bce", loss_weight=10.0),
    loss_consistency=dict(type="MaskConsistencyLoss", form="dice", outside=1.0, loss_weight=2.0),
""",
        optimiser="""\
optim_wrapper = dict(
    optimizer=dict(lr=1e-3),  # for 8 images a step
    clip_grad=dict(max_norm=35, norm_type=2),
)
auto_scale_lr = dict(enable=True, base_batch_size=8)
""",
        largest=(550, 550),
        pixels=8 * 550 * 550,
        fixed=True,
        multi_scale=False,
        keeps_empty=False,
    ),
}
