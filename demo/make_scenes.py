"""Generate the data set of scenes.

Example:
    python demo/make_scenes.py data/scenes --num-train 600 --num-val 100
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmdet_discobox.utils.command_line import run
from scenes import make_dataset


def main() -> None:
    """Write the data set unless it exists already."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="folder to write into")
    parser.add_argument(
        "--num-train", type=int, default=600, help="training images (default: %(default)s)"
    )
    parser.add_argument(
        "--num-val", type=int, default=100, help="validation images (default: %(default)s)"
    )
    parser.add_argument(
        "--image-size", type=int, default=160, help="side in pixels (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of all randomness (default: %(default)s)"
    )
    arguments = parser.parse_args()
    root = make_dataset(**vars(arguments))
    print(f"{root}: {arguments.num_train} training and {arguments.num_val} validation images")


if __name__ == "__main__":
    run(main)
