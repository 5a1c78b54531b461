"""A detector small enough to train in tests, and a four-image data set for the real commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

NORM = dict(type="GN", num_groups=4)
#: with a bank that is soon full enough to match with
TEACHER = dict(
    type="StructuredTeacher",
    crop_size=16,
    valid_area=(0.0, 1.0),
    cross_image=dict(
        type="CrossImageTerm",
        size=4,
        bank=dict(capacity=8, min_area=0, max_retrieved=3, min_retrieved=1),
    ),
)


def tiny_solov2(*, num_classes: int = 3, box_supervised: bool = True, **changes: Any) -> ConfigDict:
    """Config of a SOLOv2 with a ResNet-18 of 8 channels."""
    loss = dict(type="DiceLoss", use_sigmoid=True, loss_weight=3.0)
    config = dict(
        type="SOLOv2",
        data_preprocessor=dict(
            type="DetDataPreprocessor",
            mean=[123.0, 116.0, 103.0],
            std=[58.0, 57.0, 57.0],
            bgr_to_rgb=True,
            pad_mask=True,
            pad_size_divisor=32,
        ),
        backbone=dict(type="ResNet", depth=18, base_channels=8, norm_eval=True),
        neck=dict(type="FPN", in_channels=[8, 16, 32, 64], out_channels=16, num_outs=5),
        mask_head=dict(
            type="SOLOV2Head",
            num_classes=num_classes,
            in_channels=16,
            feat_channels=16,
            stacked_convs=1,
            strides=[8, 8, 16, 32, 32],
            scale_ranges=((1, 24), (12, 48), (24, 96), (48, 192), (96, 512)),
            pos_scale=0.2,
            num_grids=[10, 8, 6, 5, 4],
            norm_cfg=NORM,
            mask_feature_head=dict(
                feat_channels=16,
                start_level=0,
                end_level=3,
                out_channels=16,
                mask_stride=4,
                norm_cfg=NORM,
            ),
            loss_mask=loss,
            loss_cls=dict(type="FocalLoss", use_sigmoid=True),
        ),
        test_cfg=dict(
            nms_pre=50,
            score_thr=0.0,
            mask_thr=0.5,
            filter_thr=0.0,
            kernel="gaussian",
            sigma=2.0,
            max_per_img=10,
        ),
    )
    if box_supervised:
        config["type"] = "DiscoBoxSOLOv2"
        config["mask_head"].update(type="DiscoBoxSOLOv2Head")
        config.update(
            structured_teacher=TEACHER,
            teacher_network=dict(),
        )
    config.update(changes)
    return ConfigDict(config)


def tiny_yolact(*, num_classes: int = 3, box_supervised: bool = True, **changes: Any) -> ConfigDict:
    """Config of a YOLACT++ with a ResNet-18 of 8 channels; stock YOLACT if not box-supervised."""
    size = 96
    cells = (12, 6, 3, 2, 1)
    config = dict(
        type="YOLACT",
        data_preprocessor=dict(
            type="DetDataPreprocessor",
            mean=[123.0, 116.0, 103.0],
            std=[58.0, 57.0, 57.0],
            bgr_to_rgb=True,
            pad_mask=True,
            pad_size_divisor=32,
        ),
        backbone=dict(type="ResNet", depth=18, base_channels=8, norm_eval=True),
        neck=dict(
            type="FPN",
            in_channels=[8, 16, 32, 64],
            out_channels=16,
            start_level=1,
            add_extra_convs="on_input",
            num_outs=5,
        ),
        bbox_head=dict(
            type="YOLACTHead",
            num_classes=num_classes,
            in_channels=16,
            feat_channels=16,
            anchor_generator=dict(
                type="AnchorGenerator",
                octave_base_scale=3,
                scales_per_octave=3,
                base_sizes=[4, 8, 16, 32, 64],
                ratios=[0.5, 1.0, 2.0],
                strides=[size / count for count in cells],
                centers=[(size / count / 2,) * 2 for count in cells],
            ),
            bbox_coder=dict(
                type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]
            ),
            num_protos=8,
        ),
        mask_head=dict(
            type="YOLACTProtonet",
            num_classes=num_classes,
            in_channels=16,
            proto_channels=(16, None, 16, 8),
            proto_kernel_sizes=(3, -2, 3, 1),
            num_protos=8,
            with_seg_branch=False,
        ),
        train_cfg=dict(
            assigner=dict(
                type="MaxIoUAssigner",
                pos_iou_thr=0.5,
                neg_iou_thr=0.4,
                min_pos_iou=0.0,
                ignore_iof_thr=-1,
                gt_max_assign_all=False,
            ),
            sampler=dict(type="PseudoSampler"),
            allowed_border=-1,
            pos_weight=-1,
            neg_pos_ratio=3,
        ),
        test_cfg=dict(
            nms_pre=50,
            score_thr=0.0,
            mask_thr=0.5,
            iou_thr=0.5,
            top_k=20,
            max_per_img=10,
            mask_thr_binary=0.5,
        ),
    )
    if box_supervised:
        config["type"] = "DiscoBoxYOLACT"
        config["bbox_head"]["type"] = "DiscoBoxYOLACTHead"
        config["mask_head"].update(type="DiscoBoxYOLACTProtonet", rescoring=dict())
        config.update(
            structured_teacher=TEACHER,
            teacher_network=dict(),
        )
    config.update(changes)
    return ConfigDict(config)


def tiny_condinst(
    *, num_classes: int = 3, box_supervised: bool = True, **changes: Any
) -> ConfigDict:
    """Config of a CondInst with a ResNet-18 of 8 channels."""
    config = dict(
        type="CondInst",
        data_preprocessor=dict(
            type="DetDataPreprocessor",
            mean=[123.0, 116.0, 103.0],
            std=[58.0, 57.0, 57.0],
            bgr_to_rgb=True,
            pad_mask=True,
            pad_size_divisor=32,
        ),
        backbone=dict(type="ResNet", depth=18, base_channels=8, norm_eval=True),
        neck=dict(
            type="FPN",
            in_channels=[8, 16, 32, 64],
            out_channels=16,
            start_level=1,
            add_extra_convs="on_output",
            num_outs=5,
        ),
        bbox_head=dict(
            type="CondInstBboxHead",
            num_params=53,
            num_classes=num_classes,
            in_channels=16,
            feat_channels=16,
            stacked_convs=1,
            strides=[8, 16, 32, 64, 128],
            regress_ranges=((-1, 24), (24, 48), (48, 96), (96, 192), (192, 1e8)),
            center_sampling=True,
            norm_on_bbox=True,
            centerness_on_reg=True,
            norm_cfg=NORM,
            loss_bbox=dict(type="GIoULoss", loss_weight=1.0),
        ),
        mask_head=dict(
            type="CondInstMaskHead",
            num_layers=3,
            feat_channels=4,
            size_of_interest=8,
            mask_out_stride=4,
            max_masks_to_train=30,
            mask_feature_head=dict(
                in_channels=16,
                feat_channels=16,
                start_level=0,
                end_level=2,
                out_channels=4,
                mask_stride=8,
                num_stacked_convs=1,
                norm_cfg=NORM,
            ),
            loss_mask=dict(type="DiceLoss", use_sigmoid=True, activate=True, eps=5e-6),
        ),
        test_cfg=dict(
            nms_pre=50,
            min_bbox_size=0,
            score_thr=0.0,
            nms=dict(type="nms", iou_threshold=0.6),
            max_per_img=10,
            mask_thr=0.5,
        ),
    )
    if box_supervised:
        config["type"] = "DiscoBoxCondInst"
        config["bbox_head"]["type"] = "DiscoBoxCondInstBboxHead"
        config.update(structured_teacher=TEACHER, teacher_network=dict())
    config.update(changes)
    return ConfigDict(config)


def tiny_rtmdet_ins(
    *, num_classes: int = 3, box_supervised: bool = True, **changes: Any
) -> ConfigDict:
    """Config of an RTMDet-Ins with a ResNet-18 of 8 channels."""
    config = dict(
        type="RTMDet",
        use_syncbn=False,  # which CPUs do not have
        data_preprocessor=dict(
            type="DetDataPreprocessor",
            mean=[123.0, 116.0, 103.0],
            std=[58.0, 57.0, 57.0],
            bgr_to_rgb=True,
            pad_mask=True,
            pad_size_divisor=32,
        ),
        backbone=dict(
            type="ResNet", depth=18, base_channels=8, out_indices=(1, 2, 3), norm_eval=True
        ),
        neck=dict(
            type="CSPNeXtPAFPN",
            in_channels=[16, 32, 64],
            out_channels=16,
            num_csp_blocks=1,
            expand_ratio=0.5,
            norm_cfg=NORM,
        ),
        bbox_head=dict(
            type="RTMDetInsSepBNHead",
            num_classes=num_classes,
            in_channels=16,
            feat_channels=16,
            stacked_convs=1,
            share_conv=True,
            anchor_generator=dict(type="MlvlPointGenerator", offset=0, strides=[8, 16, 32]),
            bbox_coder=dict(type="DistancePointBBoxCoder"),
            norm_cfg=NORM,
            loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
            loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
            loss_mask=dict(type="DiceLoss", loss_weight=2.0, eps=5e-6, reduction="mean"),
        ),
        train_cfg=dict(
            assigner=dict(type="DynamicSoftLabelAssigner", topk=13),
            allowed_border=-1,
            pos_weight=-1,
        ),
        test_cfg=dict(
            nms_pre=50,
            min_bbox_size=0,
            score_thr=0.0,
            nms=dict(type="nms", iou_threshold=0.6),
            max_per_img=10,
            mask_thr_binary=0.5,
        ),
    )
    if box_supervised:
        config["type"] = "DiscoBoxRTMDetIns"
        config["bbox_head"]["type"] = "DiscoBoxRTMDetInsSepBNHead"
        config.update(structured_teacher=TEACHER, teacher_network=dict())
    config.update(changes)
    return ConfigDict(config)


def tiny_semantic_yolact(**changes: Any) -> ConfigDict:
    """Config of :func:`tiny_yolact` with the semantic branch."""
    config = tiny_yolact(**changes)
    config.mask_head.with_seg_branch = True
    return config


def tiny_labeler(*, num_classes: int | None = 3, **changes: Any) -> ConfigDict:
    """Config of a box labeller with a ResNet-18 of 8 channels."""
    config = dict(
        type="DiscoBoxLabeler",
        data_preprocessor=dict(
            type="DetDataPreprocessor",
            mean=[123.0, 116.0, 103.0],
            std=[58.0, 57.0, 57.0],
            bgr_to_rgb=True,
            pad_mask=True,
            pad_size_divisor=32,
        ),
        backbone=dict(type="ResNet", depth=18, base_channels=8, norm_eval=True),
        neck=dict(type="FPN", in_channels=[8, 16, 32, 64], out_channels=16, num_outs=4),
        mask_head=dict(
            type="BoxMaskHead",
            num_classes=num_classes,
            in_channels=16,
            feat_channels=16,
            norm_cfg=NORM,
        ),
        structured_teacher=TEACHER,
        teacher_network=dict(),
        crop_size=96,
    )
    if num_classes is None:
        config["structured_teacher"] = {**TEACHER, "cross_image": None}
    config.update(changes)
    return ConfigDict(config)


#: one configuration of each network that detects
NETWORKS = {
    "solov2": tiny_solov2,
    "yolact": tiny_yolact,
    "condinst": tiny_condinst,
    "rtmdet_ins": tiny_rtmdet_ins,
}
#: one configuration of each task network
TASK_NETWORKS = {**NETWORKS, "labeler": tiny_labeler}


def build(config: ConfigDict, seed: int = 0) -> Any:
    """Build a detector with random weights that depend on the seed alone."""
    torch.manual_seed(seed)
    model = MODELS.build(config)
    model.init_weights()
    return model.train()


def batch(counts: tuple[int, ...] = (3, 2), *, size: int = 96, seed: int = 0) -> dict[str, Any]:
    """Random images with `counts` boxes each, as a data loader gives them."""
    rng = np.random.default_rng(seed)
    inputs, samples = [], []
    for count in counts:
        inputs.append(torch.from_numpy(rng.integers(0, 255, (3, size, size), dtype=np.uint8)))
        corners = rng.uniform(0, size / 2, (count, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(8, size / 2, (count, 2))], 1)
        sample = DetDataSample(
            metainfo=dict(img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0))
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            labels=torch.as_tensor(rng.integers(0, 3, count)),
        )
        sample.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
        )
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def losses_of(model: Any, data: dict[str, Any]) -> dict[str, torch.Tensor]:
    """One forward pass in loss mode."""
    return model(**model.data_preprocessor(data, True), mode="loss")


def write_boxes(root: Path, *, num_images: int = 4, empty: int = 1, size: int = 96) -> Path:
    """Write images with coloured rectangles and `boxes.json` / `masks.json` beside them."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    images, annotations = [], []
    for index in range(num_images):
        image = rng.integers(0, 90, (size, size, 3), dtype=np.uint8)
        for _ in range(0 if index < empty else 2):
            x, y, w, h = (int(v) for v in (*rng.integers(4, 40, 2), *rng.integers(16, 48, 2)))
            image[y : y + h, x : x + w] = rng.integers(120, 255, 3)
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=index,
                    category_id=1 + len(annotations) % 3,
                    bbox=[x, y, w, h],
                )
            )
        cv2.imwrite(str(root / "images" / f"{index}.png"), image)
        images.append(dict(id=index, file_name=f"{index}.png", height=size, width=size))
    categories = [dict(id=i, name=name) for i, name in enumerate(("one", "two", "three"), 1)]
    coco = dict(images=images, annotations=annotations, categories=categories)
    (root / "boxes.json").write_text(json.dumps(coco))
    for annotation in annotations:
        x, y, w, h = annotation["bbox"]
        annotation.update(
            segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]], area=w * h, iscrowd=0
        )
    (root / "masks.json").write_text(json.dumps(coco))
    return root
