"""The network of ``autolabel.py``: shipped, of a training, exported, or none."""

from __future__ import annotations

import argparse
import hashlib

from mmengine.dist import is_main_process

from mmdet_discobox.deployment import OnnxLabeler
from mmdet_discobox.labelling.auto_labeler import AutoLabeler
from mmdet_discobox.labelling.shipped import WEIGHTS
from mmdet_discobox.utils.types import Json

TEACHER_ONLY = (
    "--teacher-only: the masks are computed from box shapes and colours alone, without a network. "
    "Expect lower quality, inspect them (--report), and train on the boxes for better masks."
)


def build_labeler(args: argparse.Namespace, dataset: Json, device: str) -> AutoLabeler:
    """Build the labeler, and print the classes that its network does not have."""
    if args.teacher_only:
        if is_main_process():
            print(TEACHER_ONLY)
        return AutoLabeler(device=device, crop_size=args.crop_size)
    if args.onnx:
        model = OnnxLabeler(args.onnx)
        labeler = AutoLabeler(model, classes=model.classes, crop_size=args.crop_size)
    elif not hasattr(args, "checkpoint"):
        return AutoLabeler.shipped(device=device, crop_size=args.crop_size)
    else:
        labeler = AutoLabeler.from_files(
            args.config, args.checkpoint, device=device, crop_size=args.crop_size
        )
    names = [category["name"] for category in dataset["categories"]]
    unknown = [name for name in names if not labeler.knows(name)]
    if names and len(unknown) == len(names):
        raise ValueError(
            f"Expected classes of the checkpoint ({', '.join(labeler.labels)}) in '{args.boxes}', "
            f"but got {', '.join(names)}. Rename them, or use --teacher-only."
        )
    if unknown and is_main_process():
        print(
            f"{len(unknown)} classes are not in the checkpoint; their masks are computed from "
            f"colours alone: {', '.join(unknown)}"
        )
    return labeler


def mask_settings(args: argparse.Namespace) -> Json:
    """Return the settings that the masks depend on, with digests of config and checkpoint."""
    files = [args.config, args.checkpoint] if hasattr(args, "checkpoint") else []
    if args.onnx:
        files = [args.onnx]
    if not (files or args.teacher_only):
        files = [WEIGHTS]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return dict(crop_size=args.crop_size, files=digests)
