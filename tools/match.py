"""Draw the dense correspondence between the objects of two images, or of one image.

Examples:
    python tools/match.py IMG IMG --config C --checkpoint X --out match.png
    python tools/match.py IMG IMG --config C --out match.png --boxes 10,20,200,180 30,5,220,190

Points of the left object and their matches in the right one have the same colour. With several
objects of a class, the most confident pairs are drawn, each object in one of them.
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
from mmdet_discobox.matching import MATCHERS, MatchedImages, ObjectMatch, best_matches
from mmdet_discobox.utils.command_line import prepare_result, run
from mmdet_discobox.utils.images import read_image
from mmdet_discobox.visualization import DrawnMatch, draw_correspondence


def main(argv: Sequence[str] | None = None) -> None:
    """Match and draw objects."""
    args = parse_args(argv)
    check_suffix(args.out)
    prepare_result(args.out, "--out")
    images = [np.ascontiguousarray(read_image(path)[..., ::-1]) for path in args.images]  # RGB
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
    records = [transfer_mask(match, found) for match in drawn]
    drawing = draw_correspondence(images, records, lines=args.lines, height=args.height)
    mmcv.imwrite(drawing[..., ::-1], str(args.out))
    print_matches(args, found, drawn, inferencer.model.dataset_meta["classes"])


def check_suffix(path: Path) -> None:
    """Raise an error if images cannot be written in the format of a path."""
    if not cv2.haveImageWriter(str(path)):
        raise ValueError(
            f"Expected --out to be an image, with a suffix such as .png or .jpg, but got '{path}'."
        )


def transfer_mask(match: ObjectMatch, found: MatchedImages) -> DrawnMatch:
    """Transfer each pixel of the source mask to the target."""
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


def print_matches(
    args: argparse.Namespace,
    found: MatchedImages,
    drawn: Sequence[ObjectMatch],
    classes: Sequence[str],
) -> None:
    """Print the number of objects, and the drawn pairs."""
    counts = " and ".join(str(len(objects)) for objects in found.objects)
    print(f"Objects: {counts}; pairs of a class: {len(found.matches)}, drawn: {len(drawn)}")
    if not drawn:
        print("No pair of objects of a class: lower --score-thr, or pass --boxes.")
    for match in drawn:
        name = classes[match.label] if 0 <= match.label < len(classes) else "given boxes"
        print(
            f"  {name}: confidence {match.confidence:.2f}, certainty {match.certainty.mean():.2f}"
        )
    print(f"Drawing: {args.out}")


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("images", type=Path, nargs="+", metavar="IMG")
    add("--config", type=Path, required=True, help="config of a detector")
    add("--checkpoint", type=Path, help="default: the weights that the config loads")
    add("--out", type=Path, required=True, help="image to write")
    add(
        "--boxes",
        nargs="+",
        type=parse_boxes,
        metavar="X1,Y1,X2,Y2",
        help="boxes of each image, joined by ';', instead of detections",
    )
    add(
        "--label",
        type=int,
        default=-1,
        help="class whose masks the boxes get; -1 matches full boxes (default: %(default)s)",
    )
    add("--lines", type=int, default=8, help="lines per pair (default: %(default)s)")
    add("--height", type=int, default=480, help="height of the drawing (default: %(default)s)")
    add("--score-thr", type=float, default=0.3, help="score of detections (default: %(default)s)")
    add("--matcher", default="icm", choices=MATCHERS, help="default: %(default)s")
    add(
        "--features",
        nargs=2,
        default=("backbone", "2"),
        metavar=("PART", "INDEX"),
        help="backbone or neck, and the index of its output (default: backbone 2)",
    )
    add("--size", type=int, default=20, help="cells along the grid (default: %(default)s)")
    add("--image-scale", type=int, help="long side of images (default: that of the config)")
    add("--device", help="default: the GPU if there is one")
    return parser.parse_args(argv)


def parse_boxes(text: str) -> Any:
    """Parse the boxes of one image."""
    try:
        return np.array([box.split(",") for box in text.split(";")], dtype=float).reshape(-1, 4)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected X1,Y1,X2,Y2 but got {text!r}") from None


if __name__ == "__main__":
    run(main)
