"""Reduce a training checkpoint to the weights of one network for publication.

    python tools/publish_model.py IN.pth OUT.pth
        [--network student|teacher] [--half] [--no-config] [--stock-config]

Teacher, structured teacher, bank and optimiser state are dropped; the weights load into the
DiscoBox detector and the stock one. The start of the SHA-256 of the file is added to its name:
OUT-xxxxxxxx.pth. --stock-config writes OUT-xxxxxxxx.py beside it: the config with the classes of
mmdet, for tools and machines without this package.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdet_discobox.apis import publish_checkpoint, read_checkpoint
from mmdet_discobox.checkpoints import (
    keep_stock_weights,
    parse_config,
    save_hashed_checkpoint,
    stock_config,
    stock_config_text,
)
from mmdet_discobox.utils.command_line import run
from mmdet_discobox.utils.files import write_bytes


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
    parser.add_argument(
        "--stock-config",
        action="store_true",
        help="also write the config with the classes of mmdet, which names folders as well",
    )
    args = parser.parse_args(argv)
    checkpoint = read_checkpoint(args.source)
    text = (checkpoint.get("meta") or {}).get("cfg")
    published = publish_checkpoint(
        checkpoint, network=args.network, half=args.half, config=not args.no_config
    )
    if args.stock_config:
        if not text:
            raise ValueError(
                f"Expected the config of the training in '{args.source}' (`meta.cfg`) for "
                "--stock-config, but it has none. Use the checkpoint of the training."
            )
        config = parse_config(text)
        weights = keep_stock_weights(published["state_dict"], stock_config(config))
        published["state_dict"] = weights
    path = save_hashed_checkpoint(published, args.target)
    print(f"{args.network} ({len(published['state_dict'])} weights) written to {path}")
    if args.stock_config:
        stock = stock_config_text(config)
        write_bytes(path.with_suffix(".py"), stock.encode())
        print(f"config with classes of mmdet written to {path.with_suffix('.py')}")
        notes = [line for line in stock.splitlines()[1:] if line.startswith("# ")]
        print("".join(f"{note}\n" for note in notes), end="")


if __name__ == "__main__":
    run(main)
