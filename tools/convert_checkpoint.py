"""Convert a checkpoint of the released DiscoBox SOLOv2 for DiscoBoxSOLOv2 and stock SOLOv2.

    python tools/convert_checkpoint.py SRC.pth DST.pth > my_config.py

Prints the config of the weights: channels, classes, deformable convolutions and test settings.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmdet_discobox.apis import convert_released_checkpoint, read_checkpoint
from mmdet_discobox.checkpoints import released_config, save_checkpoint
from mmdet_discobox.utils.command_line import run


def main(argv: Sequence[str] | None = None) -> None:
    """Convert a checkpoint and print its config."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("src", type=Path, metavar="SRC", help="released checkpoint")
    parser.add_argument("dst", type=Path, metavar="DST", help="file to write")
    args = parser.parse_args(argv)
    converted, architecture = convert_released_checkpoint(read_checkpoint(args.src))
    save_checkpoint(converted, args.dst)
    print(released_config(architecture), end="")
    print(f"{len(converted['state_dict'])} weights written to {args.dst}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
