"""Draw the predictions of a detector in an image, or in each image of a folder.

python tools/image_demo.py IMG CONFIG CHECKPOINT --out-dir DIR [--cfg-options KEY=VALUE ...]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdet.apis import DetInferencer
from mmengine.config import Config, DictAction

from mmdet_discobox.utils.command_line import run


def main(argv: Sequence[str] | None = None) -> None:
    """Predict and draw objects."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path, metavar="IMG", help="image, or folder of images")
    parser.add_argument("config", type=Path, metavar="CONFIG")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    parser.add_argument("--out-dir", required=True, help="folder for vis/*.png and preds/*.json")
    parser.add_argument(
        "--score-thr", type=float, default=0.3, help="smallest score (default: %(default)s)"
    )
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, default={}, metavar="KEY=VALUE",
        help="changes of the config, for example model.prediction_refiner.min_score=0.1",
    )  # fmt: skip
    parser.add_argument("--device", help="default: the GPU if there is one")
    args = parser.parse_args(argv)
    for path in (args.image, args.config, args.checkpoint):
        if not path.exists():
            raise FileNotFoundError(f"Expected a file at '{path}', but there is none.")
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options)
    inferencer = DetInferencer(config, str(args.checkpoint), device=args.device)
    inferencer(
        str(args.image), out_dir=args.out_dir, pred_score_thr=args.score_thr, no_save_pred=False
    )
    print(f"Drawings: {Path(args.out_dir) / 'vis'}")


if __name__ == "__main__":
    run(main)
