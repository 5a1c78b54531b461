"""`make demo`: from boxes to masks on generated images, with mmdet's own commands."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from demo_report import write_report
from mmdet_discobox.utils.versions import distribution_of
from scenes.coco import make_dataset

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "work_dirs" / "demo"
CONFIG = "configs/lite0/demo_solov2_lite0.py"


def mim(*arguments: str) -> None:
    """Print and run an OpenMIM command from the root of the repository."""
    command = [str(Path(sys.executable).with_name("mim")), *arguments]
    print("\n$ mim " + " ".join(arguments), flush=True)
    subprocess.run(command, cwd=ROOT, check=True)


def latest_metrics(folder: Path) -> dict[str, float]:
    """Read the metrics of the newest `mim test` in a work folder."""
    newest = max(folder.glob("*/*.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())


def tool(name: str, *arguments: str) -> None:
    """Print and run a tool."""
    print(f"\n$ python tools/{name} " + " ".join(arguments), flush=True)
    subprocess.run([sys.executable, f"tools/{name}", *arguments], cwd=ROOT, check=True)


def windmills(annotations: Path) -> tuple[list[str], list[str], int]:
    """Find the two largest windmills with all key points visible: images, boxes, label."""
    truth = json.loads(annotations.read_text())
    names = {entry["id"]: entry["file_name"] for entry in truth["images"]}
    label = [entry["name"] for entry in truth["categories"]].index("windmill")
    whole = [
        entry
        for entry in truth["annotations"]
        if entry["category_id"] == truth["categories"][label]["id"]
        and min(entry["keypoints"][2::3]) == 2
    ]
    largest = sorted(whole, key=lambda entry: -entry["area"])[:2]
    boxes = [
        f"{x:.0f},{y:.0f},{x + w:.0f},{y + h:.0f}" for x, y, w, h in (e["bbox"] for e in largest)
    ]
    return [str(annotations.parent / names[e["image_id"]]) for e in largest], boxes, label


def correspond(checkpoint: str) -> None:
    """Match objects of a class: evaluate the PCK of key points, and draw one match."""
    val = WORK / "data" / "val.json"
    trained = ("--config", CONFIG, "--checkpoint", checkpoint, "--size", "14")
    tool(
        "eval_correspondence.py", "coco", str(val), str(val.parent), *trained,
        "--image-scale", "320", "--length", "bbox", "--limit", "150",
        "--matchers", "identity", "nearest", "icm", "--out", str(WORK / "correspondence.json"),
    )  # fmt: skip
    images, boxes, label = windmills(val)
    tool(
        "match.py", *images, *trained, "--boxes", *boxes, "--label", str(label),
        "--out", str(WORK / "images" / "correspondence.png"),
    )  # fmt: skip


def main() -> None:
    """Generate the data set, train, test, draw and match."""
    argparse.ArgumentParser(description=__doc__).parse_args()  # no options but --help
    start = time.time()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # mmdet uses a visible GPU even with --gpus 0
    print("Generating images: train (boxes only) and val (with exact masks) ...", flush=True)
    make_dataset(WORK / "data", num_train=600, num_val=100, image_size=160, seed=0)
    mmdet = distribution_of("mmdet")
    mim("train", mmdet, CONFIG, "--gpus", "0", "--work-dir", str(WORK / "train"))
    checkpoint = (WORK / "train" / "last_checkpoint").read_text().strip()
    mim(
        "test", mmdet, CONFIG, "--checkpoint", checkpoint,
        "--gpus", "0", "--work-dir", str(WORK / "test"),
    )  # fmt: skip
    metrics = latest_metrics(WORK / "test")
    print(write_report(ROOT / CONFIG, checkpoint, metrics, WORK))
    correspond(checkpoint)
    print(f"\nDone in {(time.time() - start) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
