"""Compare ways to match on a benchmark of correspondence: Tables 4 and 5, by one command.

Examples:
    python tools/eval_correspondence.py pf_willow test_pairs.csv PF-dataset-WILLOW --config C
    python tools/eval_correspondence.py pf_pascal test_pairs.csv PF-PASCAL --annotations --config C
    python tools/eval_correspondence.py spair SPair-71k --config C --checkpoint X
    python tools/eval_correspondence.py coco val_keypoints.json images --config C --checkpoint X
    python tools/eval_correspondence.py multi_object val_pairs.npz images --config C --checkpoint X

Without a checkpoint the detector has what its config loads by itself, such as the ImageNet weights
of EfficientNetLite or, downloaded, those of a ResNet: its backbone's features can be compared, its
neck's and its masks are chance.
The DISCOBOX- of Table 5 is `icm` with a checkpoint that was trained without L_nce.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.evaluator import BaseMetric
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmdet_discobox.apis import CorrespondenceInferencer
from mmdet_discobox.datasets import KeypointPairDataset, ObjectPairDataset
from mmdet_discobox.evaluation import PROTOCOLS, MultiObjectCorrespondenceMetric, PCKMetric
from mmdet_discobox.matching import MATCHERS, KeypointTransfer, MultiObjectMatching, build_matcher
from mmdet_discobox.matching.correspondence_tasks import BOXES, SPREADS
from mmdet_discobox.utils.command_line import run

#: for each benchmark the arguments of its reader, and what papers measure PCK's threshold on
FILES = {
    "pf_pascal": ("pairs_csv", "root"),
    "pf_willow": ("pairs_csv", "root"),
    "spair": ("root",),
    "coco": ("ann_file", "image_root"),
    "multi_object": ("pairs", "image_root"),
}
LENGTHS = {"pf_pascal": "img", "pf_willow": "keypoints", "spair": "bbox", "coco": "bbox"}


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate each matcher and print the table."""
    args = parse(argv)
    inferencer = CorrespondenceInferencer(
        args.config,
        args.checkpoint,
        args.device,
        features=(args.features[0], int(args.features[1])),
        size=args.size,
        score_thr=args.score_thr,
        image_scale=args.image_scale and (args.image_scale,) * 2,
    )
    dataset, task, metric = benchmark(args, inferencer)
    results = {}
    for name in args.matchers:
        results[name] = evaluate(name, dataset, task, metric)
    Console(width=100).print(table(args, results, len(dataset)))
    if args.out:
        settings = {key: str(value) for key, value in vars(args).items()}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(dict(settings=settings, results=results), indent=2))


def benchmark(args: argparse.Namespace, inferencer: Any) -> tuple[Any, Any, BaseMetric]:
    """Data set, task and metric of a benchmark."""
    files = dict(zip(FILES[args.benchmark], args.files, strict=True))
    settings = dict(classes=inferencer.model.dataset_meta["classes"], boxes=args.boxes)
    if args.benchmark == "multi_object":
        pairs = ObjectPairDataset(**files, limit=args.limit)
        task = MultiObjectMatching(inferencer.describe, spread=args.spread, **settings)
        return pairs, task, MultiObjectCorrespondenceMetric()
    if args.benchmark == "pf_pascal":
        files |= dict(csv_long_side=args.csv_long_side, annotations=args.annotations)
    if args.benchmark == "spair":
        files["split"] = args.split
    metric = PCKMetric(args.protocol, length=args.length or LENGTHS[args.benchmark])
    return (
        KeypointPairDataset(args.benchmark, limit=args.limit, **files),
        KeypointTransfer(inferencer.describe, compared_in=metric.protocol.compared_in, **settings),
        metric,
    )


def evaluate(name: str, dataset: Any, task: Any, metric: BaseMetric) -> dict[str, float]:
    """Run a matcher over a data set; the task remembers the images of the matcher before."""
    matcher = build_matcher(name)
    metric.results.clear()
    for index in track(range(len(dataset)), name, console=Console(stderr=True)):
        metric.process(None, [task(dataset[index]["item"], matcher)])
    return {k.split("/", 1)[1]: v for k, v in metric.evaluate(len(dataset)).items()}


def table(args: argparse.Namespace, results: dict[str, dict[str, float]], pairs: int) -> Table:
    """A row for each matcher, in percent; classes are in the json."""
    part, index = args.features
    title = (
        f"{args.benchmark}, {pairs} pairs, boxes: {args.boxes}, {part} {index}, grid {args.size}"
    )
    shown = Table("matcher", title=title)
    names = [name for name in next(iter(results.values())) if "/" not in name]
    for name in names:
        shown.add_column(name, justify="right")
    for matcher, values in results.items():
        shown.add_row(matcher, *(f"{100 * values[name]:.1f}" for name in names))
    return shown


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("benchmark", choices=FILES)
    add("files", type=Path, nargs="+", help="list of pairs and folder of images, as above")
    add("--config", type=Path, required=True, help="of a detector")
    add("--checkpoint", type=Path)
    add("--matchers", nargs="+", default=MATCHERS, choices=MATCHERS, help="default: all")
    add(
        "--boxes",
        default="annotated",
        choices=BOXES,
        help="annotated: whole images where the set has none (default: %(default)s)",
    )
    add(
        "--features",
        nargs=2,
        default=("backbone", "2"),
        metavar=("PART", "INDEX"),
        help="backbone or neck, and which of its outputs (default: backbone 2)",
    )
    add("--size", type=int, default=20, help="cells along a side (default: %(default)s)")
    add("--image-scale", type=int, help="long side of the images (default: the test pipeline's)")
    add("--score-thr", type=float, default=0.3, help="of detections (default: %(default)s)")
    add("--protocol", default="scot", choices=PROTOCOLS, help="of PCK (default: %(default)s)")
    add("--length", choices=("img", "bbox", "keypoints"), help="of PCK's threshold")
    add("--spread", default="box", choices=SPREADS, help="multi_object: where predictions start")
    add("--csv-long-side", type=float, help="PF-PASCAL: 300 for its validation list")
    add("--annotations", action="store_true", help="PF-PASCAL: points and boxes of the .mat files")
    add("--split", default="test", help="SPair-71k (default: %(default)s)")
    add("--limit", type=int, help="number of pairs to draw (default: all)")
    add("--out", type=Path, help="json to write, with the numbers of each class")
    add("--device", help="default: the GPU if there is one")
    args = parser.parse_args(argv)
    if len(args.files) != len(FILES[args.benchmark]):
        parser.error(f"{args.benchmark} takes {' and '.join(FILES[args.benchmark])}")
    return args


if __name__ == "__main__":
    run(main)
