"""Draw the predictions of a detector in an image, or in each image of a folder.

python tools/image_demo.py IMG CONFIG CHECKPOINT --out-dir DIR [--cfg-options KEY=VALUE ...]

Sub-folders are searched, too. DIR/vis has the drawings and DIR/preds the predictions, under the
names of the images. Images that cannot be read are listed at the end, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmdet.apis import DetInferencer
from mmengine.config import Config, DictAction
from rich.console import Console
from rich.progress import track

from mmdet_discobox.checkpoints import build_detector, read_config
from mmdet_discobox.utils.command_line import run
from mmdet_discobox.utils.files import write_bytes, write_json
from mmdet_discobox.utils.images import list_images, read_image

#: formats without colours, for which OpenCV has a writer
GRAY = (".pgm", ".pbm")


class Inferencer(DetInferencer):
    """mmdet's inferencer, whose checkpoint is read safely and must fit the config."""

    def _init_model(self, cfg: Config, weights: str, device: str) -> Any:
        detector = build_detector(cfg, weights, device)
        if not detector.dataset_meta["classes"]:
            del detector.dataset_meta["classes"]  # mmdet then draws "class 7"
        return detector


def main(argv: Sequence[str] | None = None) -> int:
    """Predict and draw objects.

    Returns:
        Exit status.
    """
    args = parse_args(argv)
    folder = args.image if args.image.is_dir() else args.image.parent
    images = list_images(folder) if args.image.is_dir() else [Path(args.image.name)]
    images = without_drawings(images, folder, args.out_dir / "vis")
    config = read_config(args.config, "model")
    config.merge_from_dict(args.cfg_options)
    if config.get("visualizer") is None:
        config.visualizer = dict(type="DetLocalVisualizer")
    make_folders(args.out_dir)
    inferencer = Inferencer(config, str(args.checkpoint), device=args.device, show_progress=False)
    failed = []
    names = prediction_names(images)
    for image in track(images, "predicting", console=Console(stderr=True)):
        try:
            drawing, prediction = predict(inferencer, folder / image, args.score_thr)
        except (FileNotFoundError, ValueError, cv2.error) as error:
            failed.append(f"'{image}': {error}")
            continue
        save_drawing(args.out_dir / "vis" / image, drawing)
        path = args.out_dir / "preds" / names[image]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, prediction)
    if len(failed) < len(images):
        print(f"Drawings of {len(images) - len(failed)} images: {args.out_dir / 'vis'}")
    if failed:
        print(f"{len(failed)} images have no prediction:", *failed, sep="\n- ", file=sys.stderr)
    return int(bool(failed))


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line.

    Raises:
        FileNotFoundError: if a file is missing.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path, metavar="IMG", help="image, or folder of images")
    parser.add_argument("config", type=Path, metavar="CONFIG")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    parser.add_argument("--out-dir", type=Path, required=True, help="folder for vis/ and preds/")
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
    return args


def without_drawings(images: Sequence[Path], folder: Path, drawings: Path) -> list[Path]:
    """Return the images of a folder that are not where drawings are written, over earlier ones.

    Raises:
        ValueError: if there are none.
    """
    own = drawings.resolve()
    others = [image for image in images if own not in (folder / image).resolve().parents]
    if not others:
        raise ValueError(
            f"Expected images in '{folder}' outside '{drawings}', where their drawings are "
            "written, but found none. Name another --out-dir."
        )
    return others


def make_folders(out_dir: Path) -> None:
    """Create the folders of the results, before the minutes of predictions.

    Raises:
        ValueError: if a file is in the way, or the folder cannot be written.
    """
    for name in ("vis", "preds"):
        try:
            (out_dir / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"Expected --out-dir to be a folder for '{name}', but '{out_dir / name}' cannot be "
                f"created: {error.strerror}. Name another folder."
            ) from error


def prediction_names(images: Sequence[Path]) -> dict[Path, Path]:
    """Return the json of each image: `x.json`, or `x.jpg.json` if there is another image `x`."""
    stems = Counter(str(image.with_suffix("")).lower() for image in images)
    return {
        image: image.with_suffix(".json")
        if stems[str(image.with_suffix("")).lower()] == 1
        else image.with_name(f"{image.name}.json")
        for image in images
    }


def predict(
    inferencer: Inferencer, path: Path, score_thr: float
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the drawing ``(H, W, 3)`` uint8 RGB, and the prediction in mmdet's format.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is no image that mmdet can read, or a side vanishes when it is resized.
    """
    height, width = read_image(path).shape[:2]  # mmdet's own error does not name the file
    try:
        result = inferencer(str(path), return_vis=True, no_save_vis=True, pred_score_thr=score_thr)
    except cv2.error as error:
        if error.func != "resize":
            raise
        raise ValueError(
            "Expected an image whose sides keep at least a pixel when it is resized, but one of "
            f"{width} x {height} is so elongated that a side vanishes. Cut it into tiles"
        ) from error
    return result["visualization"][0], result["predictions"][0]


def save_drawing(path: Path, drawing: np.ndarray) -> None:
    """Save a drawing in the format of its name, or as PNG if OpenCV cannot write it in that."""
    pixels = np.ascontiguousarray(drawing[..., ::-1])
    content = encode(path.suffix, pixels)
    if content is None:
        path = path.with_name(f"{path.name}.png")
        content = cv2.imencode(".png", pixels)[1].tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)


def encode(suffix: str, pixels: np.ndarray) -> bytes | None:
    """Encode an image; None if the format has no colours, or sides too short for the image."""
    if suffix.lower() in GRAY or not cv2.haveImageWriter(f"x{suffix}"):
        return None
    try:
        written, content = cv2.imencode(suffix, pixels)
    except cv2.error:
        return None
    return content.tobytes() if written else None


if __name__ == "__main__":
    run(main)
