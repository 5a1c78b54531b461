"""Options of the command that labels boxes: what goes together, and what its paths mean."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdet_discobox.labelling.fine_teacher import COLOUR_CELLS
from mmdet_discobox.labelling.formats import FORMATS

from .processes import LAUNCHERS, find_launcher

#: options that do not go together with --rejected
_STEPS = (
    "accepted", "corrected", "keep_boxes", "report", "fit", "onnx", "teacher_only", "truth",
    "classes", "polygons", "format",
)  # fmt: skip
#: options of a command that labels boxes, without a use in one that keeps or draws masks
_LABELLING = ("teacher_only", "onnx", "truth", "classes", "polygons")


def parse_args(argv: Sequence[str] | None, *, description: str) -> argparse.Namespace:
    """Parse the command line; the positional paths become attributes of their names."""
    parser = build_parser(description)
    args = parser.parse_args(argv)
    args.launcher = find_launcher(args.launcher)
    names = name_paths(parser, args)
    # beside accepted or corrected masks, the other boxes are labelled anew
    args.keep_boxes |= args.corrected is not None or ("img_dir" in names and bool(args.accepted))
    check_options(parser, args, names)
    for name, path in zip(names, args.paths, strict=True):
        setattr(args, name, path)
    return args


def build_parser(description: str) -> argparse.ArgumentParser:
    """Build the parser of all options."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="see above")
    parser.add_argument(
        "--teacher-only", action="store_true", help="use no network, only box shapes and colours"
    )
    parser.add_argument(
        "--onnx",
        type=Path,
        metavar="FILE",
        help="labeller exported by export_onnx.py, run by ONNX Runtime on the CPU",
    )
    parser.add_argument(
        "--fit", action="store_true", help="train the shipped labeller on the boxes first"
    )
    parser.add_argument(
        "--epochs",
        type=int,
        help="passes of --fit over the boxes (8, or as many as make 50 steps)",
    )
    parser.add_argument("--seed", type=int, help="of the training of --fit (0)")
    parser.add_argument(
        "--classes", nargs="+", metavar="NAME", help="label these alone; after the paths"
    )
    parser.add_argument(
        "--accepted",
        type=Path,
        help="json saved by the page of --report; with two paths, drops what it does not accept",
    )
    parser.add_argument(
        "--keep-boxes",
        action="store_true",
        help="with --accepted: keep all boxes, and mark the accepted masks as a person's (the "
        "default with IMG_DIR)",
    )
    parser.add_argument(
        "--rejected",
        type=Path,
        metavar="FILE",
        help="json saved by the page of --report; writes the images of the rejected masks, to be "
        "corrected in another tool",
    )
    parser.add_argument(
        "--corrected",
        type=Path,
        metavar="JSON",
        help="COCO json of another tool with masks of these boxes, found by image and overlap; "
        "implies --keep-boxes",
    )
    parser.add_argument("--report", type=Path, metavar="DIR", help="folder for a page of masks")
    parser.add_argument(
        "--report-limit", type=int, default=2000, help="masks on it, worst first (%(default)s)"
    )
    parser.add_argument("--truth", type=Path, help="COCO json of true masks for comparison")
    parser.add_argument(
        "--format", choices=FORMATS, default="coco", help="format of OUT_JSON (%(default)s)"
    )
    parser.add_argument("--polygons", action="store_true", help="instead of RLE; without holes")
    parser.add_argument("--batch-size", type=int, default=2, help="images per batch (%(default)s)")
    parser.add_argument(
        "--crop-size", type=int, default=128, help="cells along an object's grid (%(default)s)"
    )
    parser.add_argument("--device", help="default: the GPU if there is one")
    parser.add_argument(
        "--launcher", choices=LAUNCHERS, help="of several processes; torchrun is noticed"
    )
    return parser


def name_paths(parser: argparse.ArgumentParser, args: argparse.Namespace) -> list[str]:
    """Return the names of the positional paths, which depend on their number and the options."""
    files = ["boxes", "img_dir", "out_json"]
    forms = [["config", "checkpoint", *files], files]
    if args.teacher_only or args.fit or args.onnx:
        forms = [files]
    if args.rejected:
        forms = [["boxes", "out_json"]]
    elif (args.accepted or args.corrected) and not args.fit:
        forms.append(["boxes", "out_json"])
    elif args.report and not (args.fit or args.teacher_only or args.onnx):
        forms.append(["boxes", "img_dir"])
    names = next((form for form in forms if len(form) == len(args.paths)), None)
    if names is None:
        expected = " or ".join(" ".join(form).upper() for form in forms)
        after = f" after --onnx {args.onnx}" if args.onnx else ""
        parser.error(f"expected the paths {expected}{after} but got {len(args.paths)}")
    return names


def check_options(
    parser: argparse.ArgumentParser, args: argparse.Namespace, names: Sequence[str]
) -> None:
    """Refuse options that do not go together."""
    given = _given(args, _STEPS)
    if args.rejected and given:
        parser.error(f"expected --rejected in a command of its own, without {' and '.join(given)}")
    if "img_dir" not in names:
        _refuse_without(parser, "IMG_DIR", _given(args, ("report", *_LABELLING)))
    if "out_json" not in names:
        _refuse_without(parser, "OUT_JSON", _given(args, (*_LABELLING, "format")))
    if args.keep_boxes and not (args.accepted or args.corrected):
        parser.error("expected --keep-boxes with --accepted or --corrected")
    if sum(map(bool, (args.teacher_only, args.fit, args.onnx))) > 1:
        parser.error("expected one of --teacher-only, --fit and --onnx, not several")
    if args.fit and args.launcher != "none":
        parser.error("expected --fit in a single process, without --launcher")
    if not args.fit and (args.epochs, args.seed) != (None, None):
        parser.error("expected --epochs and --seed with --fit")
    if min(args.batch_size, args.report_limit, 1 if args.epochs is None else args.epochs) < 1:
        parser.error("expected --batch-size, --report-limit and --epochs to be at least 1")
    if args.crop_size < 1 or args.crop_size % COLOUR_CELLS:
        parser.error(f"expected --crop-size to be a multiple of {COLOUR_CELLS}")
    if args.keep_boxes and "img_dir" not in names and args.format != "coco":
        own = "--keep-boxes" if args.corrected is None else "--corrected"
        parser.error(f"expected {own} with --format coco: other formats have no boxes")


def _given(args: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """Return those of some options that differ from their defaults, as they are written."""
    values = {**vars(args), "format": args.format != "coco"}
    return [f"--{name.replace('_', '-')}" for name in names if values[name]]


def _refuse_without(parser: argparse.ArgumentParser, path: str, given: Sequence[str]) -> None:
    """Refuse options that need a path, which would have no effect without it."""
    if given:
        parser.error(
            f"expected {path} with {' and '.join(given)}: a command with two paths labels no boxes"
        )
