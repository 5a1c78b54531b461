"""Write the object pairs of the multi-object correspondence benchmark to a file.

Examples:
    python tools/make_multi_object_pairs.py data/PASCAL3D+_release1.1 pascal3d_val.npz
    python tools/make_multi_object_pairs.py data/val_keypoints.json val_pairs.npz

A folder is read as PASCAL 3D+, whose pairs of more than 60 degrees are ignored; a json is read as
COCO key points, which have no orientations.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmdet_discobox.datasets.multi_object import KeypointObjects, read_coco_keypoints
from mmdet_discobox.utils.command_line import prepare_result, run
from multi_object_pairs import make_object_pairs, read_pascal3d


def main() -> None:
    """Enumerate and write the pairs."""
    arguments = parse_arguments()
    prepare_result(arguments.output, "OUTPUT")
    objects, max_angle = read_objects(arguments)
    pairs = make_object_pairs(
        objects, max_angle=max_angle, both_directions=arguments.both_directions
    )
    pairs.save(arguments.output)
    print(
        f"{arguments.output}: {len(pairs)} image pairs, {len(pairs.object_pairs)} object pairs "
        f"of {len(objects.images)} images with {len(objects)} objects"
    )


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder of PASCAL 3D+, or COCO key-point json")
    parser.add_argument("output", type=Path, help="file to write (.npz)")
    parser.add_argument(
        "--split", default="val", help="VOC12 split of PASCAL 3D+ (default: %(default)s)"
    )
    parser.add_argument(
        "--max-angle",
        type=float,
        default=60.0,
        help="largest angle between orientations in degrees (PASCAL 3D+; default: %(default)s)",
    )
    parser.add_argument(
        "--both-directions", action="store_true", help="add the reverse of each image pair"
    )
    return parser.parse_args()


def read_objects(arguments: argparse.Namespace) -> tuple[KeypointObjects, float | None]:
    """Read the objects; return them with the largest angle of their pairs."""
    if arguments.data.suffix == ".json":
        return read_coco_keypoints(arguments.data), None
    return read_pascal3d(arguments.data, split=arguments.split), arguments.max_angle


if __name__ == "__main__":
    run(main)
