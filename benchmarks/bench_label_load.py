"""Measure speed and memory of the labeller in the package by boxes and by size of the image.

    python benchmarks/bench_label_load.py [--threads N]

Every row is a process of its own: the seconds to label and encode the boxes of one image of noise,
boxes a second, and the peak memory of the process beyond that of a single box on a small image.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from mmdet_discobox.apis import AutoLabeler, BoxedImage
from mmdet_discobox.labelling.mask_encoding import encode_window

#: boxes, and width and height of the image
ROWS = ((1, 640, 480), (100, 640, 480), (300, 640, 480), (3000, 640, 480), (300, 10000, 8000))
#: sides of the boxes in pixels
SIDES = (20, 160)


def image_of(boxes: int, width: int, height: int) -> BoxedImage:
    """Return an image of noise with boxes at random places."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    sides = rng.uniform(*SIDES, (boxes, 2))
    corners = rng.uniform(0, 1, (boxes, 2)) * ([width, height] - sides)
    return BoxedImage(pixels, np.concatenate([corners, corners + sides], 1), ["thing"] * boxes)


def measure(boxes: int, width: int, height: int) -> None:
    """Label an image, and print the seconds and the peak memory in MB."""
    labeler = AutoLabeler.shipped(device="cpu")
    labeler([image_of(1, 640, 480)])  # the first call initialises libraries
    image = image_of(boxes, width, height)
    began = time.perf_counter()
    for label in labeler([image])[0]:
        encode_window(label.window, label.origin, (height, width))
    seconds = time.perf_counter() - began
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every row in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--row", type=int, nargs=3, help="measure this one alone, and print it")
    parser.add_argument("--rows", type=int, default=len(ROWS), help="measure the first of them")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    if args.row:
        measure(*args.row)
        return
    table = Table("boxes", "image", "seconds", "boxes a second", "more memory (MB)")
    least = None
    for row in ROWS[: args.rows]:
        command = [sys.executable, __file__, "--threads", str(args.threads), "--row"]
        done = subprocess.run(
            [*command, *map(str, row)], check=True, capture_output=True, text=True
        )
        seconds, memory = map(float, done.stdout.split()[-2:])
        least = memory if least is None else least
        speed, more = f"{row[0] / seconds:.1f}", f"{memory - least:.0f}"
        table.add_row(str(row[0]), f"{row[1]} x {row[2]}", f"{seconds:.1f}", speed, more)
    Console().print(table)


if __name__ == "__main__":
    main()
