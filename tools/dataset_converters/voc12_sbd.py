"""Convert VOC 2012 and SBD to COCO json: train_aug and val, with masks and with boxes alone.

The configs read images and json from `data/VOC12`. If that is a link to `VOCdevkit/VOC2012`:

    python tools/dataset_converters/voc12_sbd.py data/VOC12 benchmark_RELEASE/dataset data/VOC12

To train for PF-PASCAL, exclude the images of its test pairs:

    ... --pf-pascal-test PF-PASCAL/test_pairs.csv

A killed conversion resumes when started again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.progress import track

from mmdet_discobox.utils.command_line import run
from voc_sbd import convert_voc12_sbd, read_exclusion, read_pf_pascal_test

PUBLISHED = {"train_aug": 10_582, "val": 1_449}


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert the data sets and print the size of each split."""
    options = _parser().parse_args(arguments)
    exclude = set().union(*map(read_exclusion, options.exclude))
    if options.pf_pascal_test:
        exclude |= read_pf_pascal_test(options.pf_pascal_test)
    splits = convert_voc12_sbd(options.voc, options.sbd, options.out, exclude=exclude, track=_bar)
    for name, split in splits.items():
        print(
            f"{options.out / name}.json, {name}_boxes.json: {split.images} images "
            f"({PUBLISHED[name]} published, {split.excluded} excluded), {split.objects} objects"
        )
    if not options.pf_pascal_test:
        print("The images of PF-PASCAL's test pairs are included: see --pf-pascal-test.")


def _bar(names: Sequence[str]) -> Iterable[str]:
    return track(names, description="Reading masks")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("voc", type=Path, help="folder VOCdevkit/VOC2012")
    parser.add_argument("sbd", type=Path, help="folder benchmark_RELEASE/dataset")
    parser.add_argument("out", type=Path, help="folder to write the json files into")
    parser.add_argument(
        "--exclude",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="LIST",
        help="images to exclude from train_aug: a text file with one per line, or a csv of pairs "
        "with a header",
    )
    parser.add_argument(
        "--pf-pascal-test",
        type=Path,
        metavar="CSV",
        help="test pairs of PF-PASCAL, whose images are excluded from train_aug",
    )
    return parser


if __name__ == "__main__":
    run(main)
