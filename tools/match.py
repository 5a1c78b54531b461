"""Draw the dense correspondence of the objects of two pictures, or of those of a single one.

Examples:
    python tools/match.py IMG IMG --config C --checkpoint X --out match.png
    python tools/match.py IMG IMG --config C --out match.png --boxes 10,20,200,180 30,5,220,190

A colour stands for a place in the left object, and shows where it went in the right one. With
several objects of a class, the surest pairs are drawn, each object in one of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
import torch

from mmdet_discobox.apis import CorrespondenceInferencer
from mmdet_discobox.datasets.pictures import read_picture
from mmdet_discobox.matching import MATCHERS, MatchedImages, ObjectMatch, best_matches
from mmdet_discobox.utils.command_line import run
from mmdet_discobox.visualization import DrawnMatch, draw_correspondence


def main(argv: Sequence[str] | None = None) -> None:
    """Match and draw."""
    args = parse(argv)
    check_out(args.out)
    pictures = [read(path) for path in args.images]
    inferencer = CorrespondenceInferencer(
        args.config,
        args.checkpoint,
        args.device,
        features=(args.features[0], int(args.features[1])),
        size=args.size,
        matcher=args.matcher,
        score_thr=args.score_thr,
        image_scale=args.image_scale and (args.image_scale,) * 2,
    )
    labels = None if args.boxes is None else [[args.label] * len(boxes) for boxes in args.boxes]
    found = inferencer(
        args.images, boxes=args.boxes, labels=labels, across_images=len(args.images) > 1
    )
    drawn = best_matches(found.matches)
    records = [to_draw(match, found) for match in drawn]
    picture = draw_correspondence(pictures, records, lines=args.lines, height=args.height)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    mmcv.imwrite(picture[..., ::-1], str(args.out))
    report(args, found, drawn, inferencer.model.dataset_meta["classes"])


def check_out(path: Path) -> None:
    """Refuse what no picture can be written to."""
    if path.is_dir() or not cv2.haveImageWriter(str(path)):
        raise ValueError(
            f"Expected --out to be a picture, with a suffix such as .png or .jpg, but got '{path}'."
        )


def read(path: Path) -> np.ndarray:
    """Read a picture, ``(H, W, 3)`` uint8 RGB."""
    if not path.is_file():
        raise FileNotFoundError(f"Expected an image at '{path}', but there is no file.")
    try:
        return np.ascontiguousarray(read_picture(path)[..., ::-1])
    except ValueError as error:
        raise ValueError(f"Expected an image at '{path}', but {error}.") from error


def to_draw(match: ObjectMatch, found: MatchedImages) -> DrawnMatch:
    """Every pixel of the source's mask, and where it went."""
    masks = [found.objects[image].masks[n].numpy() for image, n in (match.source, match.target)]
    rows, columns = np.nonzero(masks[0])
    points = torch.from_numpy(np.stack([columns, rows], 1) + 0.5).float()
    moved, certainty = match.transfer(points)
    return DrawnMatch(
        (match.source[0], match.target[0]),
        *masks,
        source_points=points.numpy(),
        target_points=moved.numpy(),
        certainty=certainty.numpy(),
    )


def report(
    args: argparse.Namespace,
    found: MatchedImages,
    drawn: Sequence[ObjectMatch],
    classes: Sequence[str],
) -> None:
    """Say what was found and drawn."""
    counts = " and ".join(str(len(objects)) for objects in found.objects)
    print(f"Objects: {counts}; pairs of a class: {len(found.matches)}, drawn: {len(drawn)}")
    for match in drawn:
        name = classes[match.label] if 0 <= match.label < len(classes) else "given boxes"
        print(
            f"  {name}: confidence {match.confidence:.2f}, certainty {match.certainty.mean():.2f}"
        )
    print(f"Picture: {args.out}")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("images", type=Path, nargs="+", metavar="IMG")
    add("--config", type=Path, required=True, help="of a detector")
    add("--checkpoint", type=Path, help="default: what the config loads by itself")
    add("--out", type=Path, required=True, help="picture to write")
    add(
        "--boxes",
        nargs="+",
        type=boxes_of,
        metavar="X1,Y1,X2,Y2",
        help="one for each picture, or several joined by ';', instead of detections",
    )
    add(
        "--label",
        type=int,
        default=-1,
        help="class of the boxes, for their masks; -1 matches full boxes (default: %(default)s)",
    )
    add("--lines", type=int, default=8, help="of each pair (default: %(default)s)")
    add("--height", type=int, default=480, help="of the picture (default: %(default)s)")
    add("--score-thr", type=float, default=0.3, help="of detections (default: %(default)s)")
    add("--matcher", default="icm", choices=MATCHERS, help="default: %(default)s")
    add(
        "--features",
        nargs=2,
        default=("backbone", "2"),
        metavar=("PART", "INDEX"),
        help="backbone or neck, and which of its outputs (default: backbone 2)",
    )
    add("--size", type=int, default=20, help="cells along a side (default: %(default)s)")
    add("--image-scale", type=int, help="long side of the pictures (default: the test pipeline's)")
    add("--device", help="default: the GPU if there is one")
    return parser.parse_args(argv)


def boxes_of(text: str) -> Any:
    """Boxes of one picture."""
    try:
        return np.array([box.split(",") for box in text.split(";")], dtype=float).reshape(-1, 4)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected X1,Y1,X2,Y2 but got {text!r}") from None


if __name__ == "__main__":
    run(main)
