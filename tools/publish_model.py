"""Reduce a training checkpoint to the weights of one network for publication.

    python tools/publish_model.py IN.pth OUT.pth [--network student|teacher] [--half] [--no-config]

Teacher, structured teacher, bank and optimiser state are dropped; the weights load into the
DiscoBox detector and the stock one. The start of the SHA-256 of the file is added to its name:
OUT-xxxxxxxx.pth.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdet_discobox.apis import publish_checkpoint, read_checkpoint
from mmdet_discobox.checkpoints import save_hashed_checkpoint
from mmdet_discobox.utils.command_line import run


def main(argv: Sequence[str] | None = None) -> None:
    """Read a checkpoint, select a network and write its weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="IN", help="checkpoint of a training run")
    parser.add_argument("target", type=Path, metavar="OUT", help="file to write, without the hash")
    parser.add_argument(
        "--network",
        choices=("student", "teacher"),
        default="student",
        help="network to publish; the teacher is the average of the student",
    )
    parser.add_argument("--half", action="store_true", help="weights in float16")
    parser.add_argument(
        "--no-config",
        action="store_true",
        help="leave out the config, which names folders of this machine",
    )
    args = parser.parse_args(argv)
    published = publish_checkpoint(
        read_checkpoint(args.source),
        network=args.network,
        half=args.half,
        config=not args.no_config,
    )
    path = save_hashed_checkpoint(published, args.target)
    print(f"{args.network} ({len(published['state_dict'])} weights) written to {path}")


if __name__ == "__main__":
    run(main)
