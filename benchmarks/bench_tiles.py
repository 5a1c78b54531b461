"""Mask AP on large images: the whole image at several scales, and tiles merged by SAHI.

    python benchmarks/bench_tiles.py ANN_JSON IMG_DIR CONFIG CHECKPOINT [--width 4000] [--limit N]

The photographs of a json are put together to large images in their own resolution. The network
predicts each image as a whole, resized to a longest side, and in tiles with overlap, resized to the
scale of its training (``--tile`` pixels become ``--tile-scale``). AP and its split by
the area of objects are COCO's, in pixels of the photographs. Needs ``pip install sahi``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.apis import inference_detector, init_detector
from mmengine.config import Config
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from rich.table import Table

from large_canvases import Canvas, build_canvases

#: most predictions of an image that count
_MAX_DETECTIONS = 300
_AREAS = ("all", "small", "medium", "large")

Predict = Callable[[np.ndarray], list[dict[str, Any]]]


def whole(config: Config, checkpoint: Path, longest: int) -> Predict:
    """Predict whole images, resized to a longest side in pixels."""
    model = init_detector(config, str(checkpoint), device="cpu")
    pipeline = [dict(step) for step in config.test_dataloader.dataset.pipeline]
    for step in pipeline:
        if step["type"] == "Resize":
            step["scale"] = (longest, longest)
    pipeline = [step for step in pipeline if step["type"] != "LoadAnnotations"]
    pipeline[0]["type"] = "mmdet.LoadImageFromNDArray"
    pipeline[-1]["meta_keys"] = ("ori_shape", "img_shape", "scale_factor")
    model.cfg.test_dataloader.dataset.pipeline = pipeline

    def predict(pixels: np.ndarray) -> list[dict[str, Any]]:
        found = inference_detector(model, pixels).pred_instances
        masks = found.masks.numpy()
        return [
            dict(
                segmentation=coco_mask.encode(np.asfortranarray(mask, np.uint8)),
                score=float(score),
                category_id=int(label),
            )
            for mask, score, label in zip(masks, found.scores, found.labels, strict=True)
        ]

    return predict


def tiled(
    config_path: Path, checkpoint: Path, *, args: argparse.Namespace, merge: str, add_whole: bool
) -> Predict:
    """Predict tiles by SAHI, merge them by its method ``merge``, and with the whole image."""
    from sahi.models.mmdet import MmdetDetectionModel
    from sahi.predict import get_sliced_prediction

    class MaskModel(MmdetDetectionModel):
        """SAHI looks for masks in the training data, where a config of boxes has none."""

        has_mask = True

    model = MaskModel(
        config_path=str(config_path),
        model_path=str(checkpoint),
        device="cpu",
        confidence_threshold=args.score_thr,
        image_size=args.tile_scale,
    )

    def predict(pixels: np.ndarray) -> list[dict[str, Any]]:
        result = get_sliced_prediction(
            pixels[..., ::-1].copy(),
            model,
            slice_height=args.tile,
            slice_width=args.tile,
            overlap_height_ratio=args.overlap,
            overlap_width_ratio=args.overlap,
            perform_standard_pred=add_whole,
            postprocess_type=merge,
            postprocess_match_metric="IOU" if merge == "NMS" else "IOS",
            force_postprocess_type=True,
            verbose=0,
        )
        height, width = pixels.shape[:2]
        found = [p for p in result.to_coco_predictions(image_id=0) if p["segmentation"]]
        for prediction in found:
            parts = coco_mask.frPyObjects(prediction["segmentation"], height, width)
            prediction["segmentation"] = coco_mask.merge(parts)
        return found

    return predict


def average_precision(
    canvases: Sequence[Canvas], predictions: Sequence[Sequence[dict[str, Any]]]
) -> dict[str, float]:
    """Compute COCO's mask AP in per cent, over all objects and by their area."""
    truth, found = COCO(), []
    truth.dataset = dict(info={}, images=[], annotations=[], categories=[])
    for index, (canvas, predicted) in enumerate(zip(canvases, predictions, strict=True)):
        height, width = canvas.pixels.shape[:2]
        truth.dataset["images"].append(dict(id=index, height=height, width=width))
        for annotation in canvas.annotations:
            number = len(truth.dataset["annotations"]) + 1
            truth.dataset["annotations"].append({**annotation, "id": number, "image_id": index})
        found += [
            {**{key: p[key] for key in ("segmentation", "score", "category_id")}, "image_id": index}
            for p in predicted
        ]
    labels = sorted({a["category_id"] for a in truth.dataset["annotations"]})
    truth.dataset["categories"] = [dict(id=label, name=str(label)) for label in labels]
    truth.createIndex()
    if not found:
        return dict.fromkeys(_AREAS, 0.0)
    evaluation = COCOeval(truth, truth.loadRes(found), "segm")
    evaluation.params.maxDets = [_MAX_DETECTIONS]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][..., -1]  # (thresholds, recalls, classes, areas)
    values = [precision[..., i] for i in range(len(_AREAS))]
    means = [float(v[v > -1].mean()) if (v > -1).any() else float("nan") for v in values]
    return dict(zip(_AREAS, (100 * mean for mean in means), strict=True))


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table of the ways to predict."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ann_json", type=Path, help="annotations with masks")
    parser.add_argument("img_dir", type=Path, help="folder of the images")
    parser.add_argument("config", type=Path, help="config of a detector with masks")
    parser.add_argument("checkpoint", type=Path, help="its weights")
    parser.add_argument("--width", type=int, default=4000, help="width of a large image")
    parser.add_argument("--height", type=int, default=1500, help="height of a large image")
    parser.add_argument("--limit", type=int, help="number of large images (default: all)")
    parser.add_argument("--scales", type=int, nargs="*", default=[1333, 2500],
                        help="longest sides of whole images")  # fmt: skip
    parser.add_argument("--tile", type=int, default=512, help="side of a tile in pixels")
    parser.add_argument("--tile-scale", type=int, default=320, help="side to which it is resized")
    parser.add_argument("--overlap", type=float, default=0.2, help="of tiles, a fraction")
    parser.add_argument("--merge", nargs="*", default=["NMS"], choices=("NMS", "GREEDYNMM"),
                        help="how SAHI merges predictions of tiles")  # fmt: skip
    parser.add_argument("--score-thr", type=float, default=0.05, help="least score")
    args = parser.parse_args(argv)
    config = Config.fromfile(args.config)
    classes = config.test_dataloader.dataset.metainfo.classes
    canvases = list(
        build_canvases(
            COCO(str(args.ann_json)), args.img_dir, classes, size=(args.width, args.height)
        )
    )[: args.limit]
    ways: dict[str, Predict] = {
        f"whole, {longest} pixels": whole(Config.fromfile(args.config), args.checkpoint, longest)
        for longest in args.scales
    }
    for merge in args.merge:
        for add in (False, True):
            name = f"tiles{' and whole' * add}, {merge}"
            ways[name] = tiled(args.config, args.checkpoint, args=args, merge=merge, add_whole=add)
    table = Table(title=f"{len(canvases)} images of {args.width} x {args.height} pixels")
    for column in ("prediction", *(f"AP {area}" for area in _AREAS), "seconds per image"):
        table.add_column(column)
    for name, predict in ways.items():
        start = time.perf_counter()
        predictions = [predict(canvas.pixels) for canvas in canvases]
        seconds = (time.perf_counter() - start) / len(canvases)
        scores = average_precision(canvases, predictions)
        table.add_row(name, *(f"{scores[area]:.1f}" for area in _AREAS), f"{seconds:.1f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
