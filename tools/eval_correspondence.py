"""Compare matchers on a correspondence benchmark (Tables 4 and 5 of the paper).

Examples:
    python tools/eval_correspondence.py pf_willow test_pairs.csv PF-dataset-WILLOW --config C
    python tools/eval_correspondence.py pf_pascal test_pairs.csv PF-PASCAL --annotations --config C
    python tools/eval_correspondence.py spair SPair-71k --config C --checkpoint X
    python tools/eval_correspondence.py coco val_keypoints.json images --config C --checkpoint X
    python tools/eval_correspondence.py multi_object val_pairs.npz images --config C --checkpoint X

Without a checkpoint, the detector has the weights that its config loads, such as those of ImageNet:
the features of the backbone are meaningful, those of the neck and the masks are random.
DISCOBOX- in Table 5 is `icm` with a checkpoint that was trained without L_nce.
"""

from __future__ import annotations

import argparse
import math
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
from mmdet_discobox.utils.command_line import prepare_result, run
from mmdet_discobox.utils.files import write_json

#: arguments of the reader of each benchmark
FILES = {
    "pf_pascal": ("pairs_csv", "root"),
    "pf_willow": ("pairs_csv", "root"),
    "spair": ("root",),
    "coco": ("ann_file", "image_root"),
    "multi_object": ("pairs", "image_root"),
}
#: length of PCK's threshold in papers; on PF-PASCAL it is that of the protocol
LENGTHS = {"pf_willow": "keypoints", "spair": "bbox", "coco": "bbox"}


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate each matcher and print a table."""
    args = parse_args(argv)
    if args.out:
        prepare_result(args.out, "--out")
    inferencer = CorrespondenceInferencer(
        args.config,
        args.checkpoint,
        args.device,
        features=(args.features[0], int(args.features[1])),
        size=args.size,
        score_thr=args.score_thr,
        image_scale=args.image_scale and (args.image_scale,) * 2,
    )
    dataset, task, metric = build_benchmark(args, inferencer)
    if not len(dataset):
        paths = ", ".join(f"'{path}'" for path in args.files)
        raise ValueError(f"Expected pairs of objects of a class in {paths} but got none.")
    results = {name: evaluate(name, dataset, task, metric) for name in args.matchers}
    Console(width=100).print(build_table(args, results, len(dataset)))
    if args.out:
        settings = {key: str(value) for key, value in vars(args).items()}
        write_json(args.out, dict(settings=settings, results=without_nan(results)), indent=2)


def build_benchmark(args: argparse.Namespace, inferencer: Any) -> tuple[Any, Any, BaseMetric]:
    """Build the data set, task and metric of a benchmark."""
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
    metric = PCKMetric(args.protocol, length=args.length or LENGTHS.get(args.benchmark))
    dataset = KeypointPairDataset(args.benchmark, limit=args.limit, **files)
    if args.boxes == "detected":
        check_detected(dataset, settings["classes"])
    return (
        dataset,
        KeypointTransfer(inferencer.describe, compared_in=metric.protocol.compared_in, **settings),
        metric,
    )


def check_detected(dataset: KeypointPairDataset, classes: Sequence[str]) -> None:
    """Raise an error if the detector has none of the classes of some pairs."""
    names = set()
    for index in range(len(dataset)):
        names.add(dataset[index]["item"].class_name)
        if names & set(classes):
            return
    if names:
        raise ValueError(
            f"Expected a detector of some of {', '.join(sorted(names))}, but its classes are "
            f"{', '.join(classes)}. Use --boxes annotated or image."
        )


def evaluate(name: str, dataset: Any, task: Any, metric: BaseMetric) -> dict[str, float]:
    """Evaluate a matcher; the task caches the features of images across matchers."""
    matcher = build_matcher(name)
    metric.results.clear()
    for index in track(range(len(dataset)), name, console=Console(stderr=True)):
        metric.process(None, [task(dataset[index]["item"], matcher)])
    return {k.split("/", 1)[1]: v for k, v in metric.evaluate(len(dataset)).items()}


def without_nan(results: dict[str, dict[str, float]]) -> dict[str, dict[str, float | None]]:
    """Return results with None for NaN, which json does not have."""
    return {
        name: {key: None if math.isnan(value) else value for key, value in values.items()}
        for name, values in results.items()
    }


def build_table(
    args: argparse.Namespace, results: dict[str, dict[str, float]], pairs: int
) -> Table:
    """Build a table with a row per matcher, in percent, without the results per class."""
    part, index = args.features
    title = (
        f"{args.benchmark}, {pairs} pairs, boxes: {args.boxes}, {part} {index}, grid {args.size}"
    )
    table = Table("matcher", title=title)
    names = [name for name in next(iter(results.values())) if "/" not in name]
    for name in names:
        table.add_column(name, justify="right")
    for matcher, values in results.items():
        table.add_row(matcher, *(f"{100 * values[name]:.1f}" for name in names))
    return table


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("benchmark", choices=FILES)
    add("files", type=Path, nargs="+", help="files of the benchmark, as in the examples")
    add("--config", type=Path, required=True, help="config of a detector")
    add("--checkpoint", type=Path, help="default: the weights that the config loads")
    add("--matchers", nargs="+", default=MATCHERS, choices=MATCHERS, help="default: all")
    add(
        "--boxes",
        default="annotated",
        choices=BOXES,
        help="annotated: the whole image if there are none (default: %(default)s)",
    )
    add(
        "--features",
        nargs=2,
        default=("backbone", "2"),
        metavar=("PART", "INDEX"),
        help="backbone or neck, and the index of its output (default: backbone 2)",
    )
    add("--size", type=int, default=20, help="cells along the grid (default: %(default)s)")
    add("--image-scale", type=int, help="long side of images (default: that of the config)")
    add("--score-thr", type=float, default=0.3, help="score of detections (default: %(default)s)")
    add("--protocol", default="scot", choices=PROTOCOLS, help="of PCK (default: %(default)s)")
    add("--length", choices=("img", "bbox", "keypoints"), help="of PCK (default: as in papers)")
    add("--spread", default="box", choices=SPREADS, help="multi_object: source points")
    add("--csv-long-side", type=float, help="PF-PASCAL: 300 for the validation list")
    add("--annotations", action="store_true", help="PF-PASCAL: points and boxes of the .mat files")
    add("--split", default="test", help="SPair-71k: split (default: %(default)s)")
    add("--limit", type=int, help="number of pairs to draw (default: all)")
    add("--out", type=Path, help="json to write, with the results per class")
    add("--device", help="default: the GPU if there is one")
    args = parser.parse_args(argv)
    if len(args.files) != len(FILES[args.benchmark]):
        expected = " and ".join(FILES[args.benchmark])
        parser.error(f"expected {expected} for {args.benchmark}, but got {len(args.files)} paths")
    return args


if __name__ == "__main__":
    run(main)
