"""Export a trained network to ONNX, for ONNX Runtime.

    python tools/export_onnx.py CONFIG CHECKPOINT OUT.onnx
    python tools/export_onnx.py --shipped-labeler OUT.onnx

The file has backbone, neck and heads, with free batch, height and width, and the config of the
network: mmdet_discobox.deployment.OnnxDetector predicts with it, and tools/autolabel.py --onnx
labels boxes with that of a box labeller. Needs the extra [deploy].
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdet_discobox.apis import build_detector
from mmdet_discobox.deployment import export_onnx
from mmdet_discobox.labelling.shipped import WEIGHTS, shipped_config
from mmdet_discobox.utils.command_line import run


def main(argv: Sequence[str] | None = None) -> None:
    """Build the network and write it as ONNX."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="see above")
    parser.add_argument(
        "--shipped-labeler", action="store_true", help="export the shipped labeller"
    )
    args = parser.parse_args(argv)
    form = "OUT.onnx" if args.shipped_labeler else "CONFIG CHECKPOINT OUT.onnx"
    if len(args.paths) != len(form.split()):
        parser.error(f"expected the paths {form} but got {len(args.paths)}")
    files = [shipped_config(), WEIGHTS] if args.shipped_labeler else args.paths[:2]
    model = build_detector(*files, device="cpu")
    export_onnx(model, args.paths[-1])
    size = args.paths[-1].stat().st_size / 1e6
    print(f"{type(model).__name__} written to {args.paths[-1]} ({size:.1f} MB)")


if __name__ == "__main__":
    run(main)
