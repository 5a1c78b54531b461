"""Draw the refined masks of the teacher at any stage of training.

    python tools/browse_pseudo_labels.py CONFIG [CHECKPOINT] [--out DIR] [--limit N]

Each drawing shows an augmented training image with its boxes | the masks of the student | the
refined masks of the teacher (| with mixed supervision: the true masks, and the boxes without one).
Boxes whose mask is not used for training are red. Without a checkpoint, the networks have their
initial weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmcv import imwrite
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed

from mmdet_discobox.apis import build_detector
from mmdet_discobox.checkpoints import read_config
from mmdet_discobox.models.detectors import pseudo_label_images
from mmdet_discobox.utils.command_line import run
from mmdet_discobox.visualization import draw_pseudo_labels


def build_model(config: Config, checkpoint: Path | None) -> Any:
    """Build the detector of a config, with the weights of a checkpoint or initial ones."""
    if config.model.get("structured_teacher") is None:
        raise ValueError(
            f"Expected the model of '{config.filename}' to have a `structured_teacher`, but got a "
            f"{config.model.type} without one. Use the config of a DiscoBox detector."
        )
    return build_detector(config, checkpoint)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the first images of a training."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="config of the training")
    parser.add_argument(
        "checkpoint",
        type=Path,
        nargs="?",
        metavar="CHECKPOINT",
        help="checkpoint at any time of the training (default: initial weights)",
    )
    parser.add_argument(
        "--out", type=Path, default="pseudo_labels", help="folder (default: %(default)s)"
    )
    parser.add_argument("--limit", type=int, default=20, help="images (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of shuffling and augmentation")
    args = parser.parse_args(argv)
    if args.limit < 1:
        parser.error("expected --limit to be at least 1")
    config = read_config(args.config, "model", "train_dataloader")
    init_default_scope(config.get("default_scope", "mmdet"))
    set_random_seed(args.seed)
    model = build_model(config, args.checkpoint)
    loader = Runner.build_dataloader(config.train_dataloader, seed=args.seed)
    drawn = 0
    for data in loader:
        for labels in pseudo_label_images(model, data, limit=args.limit - drawn):
            imwrite(draw_pseudo_labels(labels)[..., ::-1], str(args.out / f"{drawn:04d}.png"))
            drawn += 1
        if drawn >= args.limit:
            break
    last = " | true masks" if model.true_masks else ""
    print(f"Drawings (boxes | student | teacher{last}): {drawn} in {args.out}")


if __name__ == "__main__":
    run(main)
