"""Build the folders `persons`, `coco_mini` and `animals` from the official COCO 2017 files.

    python benchmarks/data/build.py --coco data/coco --out data/discobox

The folder of COCO has `annotations/instances_{train,val}2017.json`, `train2017/*.jpg` and
`val2017/*.jpg`. Only `persons` reads val2017; the others read train2017. Exit status 1: a file is
missing or damaged, or a folder to build exists.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import subsets
from coco_files import Json, new_folder, read_split, require_absent, write_image, write_json
from records import official_size
from rich.console import Console
from rich.progress import track

from mmdet_discobox.utils.command_line import run

FOLDERS = ("persons", "coco_mini", "animals")
IDS = Path(__file__).with_name("ids.json")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, check the official files, and write the folders."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=True)
    for name in options.folders:
        require_absent(options.out / name)
    content = make_subsets(options.coco, options.folders, console=console)
    for name, subset in content.items():
        write_subset(options.out / name, subset, console=console)


def make_subsets(
    coco: Path, folders: Sequence[str], *, console: Console
) -> dict[str, subsets.Subset]:
    """Read the official files and make the content of each folder, in memory.

    Args:
        coco: folder of COCO 2017.
        folders: names of the folders to make.
        console: where to report progress.
    """
    ids: Json = json.loads(IDS.read_bytes())
    content = {}
    if "persons" in folders:
        persons, splits = ids["persons"], ("train", "val")
        image_ids = [i for split in splits for i in persons[split]["images"]]
        with console.status("reading the annotations of val2017"):
            split = read_split(coco, persons["split"], image_ids=image_ids)
        content["persons"] = subsets.make_persons(split, persons)
    if {"coco_mini", "animals"} & set(folders):
        mini = ids["coco_mini"]
        with console.status("reading the annotations of train2017"):
            split = read_split(coco, mini["split"], image_ids=mini["images"])
        content["coco_mini"] = subsets.make_coco_mini(split, mini)
        content["animals"] = subsets.make_animals(content["coco_mini"], ids["animals"])
    return {name: content[name] for name in folders}


def write_subset(folder: Path, subset: subsets.Subset, *, console: Console) -> None:
    """Write the images and jsons of a folder, which appears when it is complete."""
    with new_folder(folder) as unfinished:
        if subset.sizes:
            write_images(unfinished / "images", subset, console=console)
        for name, content in subset.jsons.items():
            write_json(unfinished / name, content)
    console.print(f"{folder}: {len(subset.sizes)} images, {', '.join(subset.jsons)}")


def write_images(folder: Path, subset: subsets.Subset, *, console: Console) -> None:
    """Write the images of a folder, with a progress bar."""
    folder.mkdir()
    split = subset.split
    for image_id in track(subset.sizes, "writing images", console=console):
        image = split.images[image_id]
        write_image(
            split.image_folder / image["file_name"],
            folder / image["file_name"],
            source_size=official_size(image),
            size=subset.sizes[image_id],
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--coco", type=Path, required=True, metavar="DIR", help="folder of COCO 2017, unpacked"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("data/discobox"),
        metavar="DIR",
        help="folder to make the folders in (default: %(default)s)",
    )
    parser.add_argument(
        "--folders",
        nargs="+",
        choices=FOLDERS,
        default=FOLDERS,
        help="folders to make (default: all)",
    )
    return parser


if __name__ == "__main__":
    run(main)
