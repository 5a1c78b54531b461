"""`make demo`: from boxes to masks on generated images, with mmdet's own commands."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from mmengine.config import Config

from demo_report import write_report
from mmdet_discobox.utils.threads import leave_a_core
from mmdet_discobox.utils.versions import distribution_of
from phases import run_phase

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "work_dirs" / "demo"
LOG = WORK / "demo.log"
CONFIG = "configs/lite0/demo_solov2_lite0.py"


def mim(title: str, *arguments: str, epochs: int = 1) -> None:
    """Run an OpenMIM command from the root of the repository."""
    command = [str(Path(sys.executable).with_name("mim")), *arguments]
    run_phase(title, command, folder=ROOT, log=LOG, epochs=epochs)


def latest_metrics(folder: Path) -> dict[str, float]:
    """Read the metrics of the newest `mim test` in a work folder."""
    newest = max(folder.glob("*/*.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())


def tool(title: str, name: str, *arguments: str) -> str:
    """Run a tool and return its output."""
    command = [sys.executable, f"tools/{name}", *arguments]
    return run_phase(title, command, folder=ROOT, log=LOG)


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


def correspond(checkpoint: str) -> str:
    """Match objects of a class: evaluate the PCK of key points, and draw one match.

    Returns:
        A line with the PCK of each matcher, in percent.
    """
    val = WORK / "data" / "val.json"
    trained = ("--config", CONFIG, "--checkpoint", checkpoint, "--size", "14")
    tool(
        "evaluating correspondence",
        "eval_correspondence.py", "coco", str(val), str(val.parent), *trained,
        "--image-scale", "320", "--length", "bbox", "--limit", "150",
        "--matchers", "identity", "nearest", "icm", "--out", str(WORK / "correspondence.json"),
    )  # fmt: skip
    images, boxes, label = windmills(val)
    tool(
        "drawing a correspondence",
        "match.py", *images, *trained, "--boxes", *boxes, "--label", str(label),
        "--out", str(WORK / "images" / "correspondence.png"),
    )  # fmt: skip
    results = json.loads((WORK / "correspondence.json").read_text())["results"]
    name = next(name for name in next(iter(results.values())) if "/" not in name)
    values = (f"{matcher} {100 * found[name]:.1f}" for matcher, found in results.items())
    return f"{name} of key points in percent: {', '.join(values)}"


def main() -> None:
    """Generate the data set, train, test, draw and match."""
    argparse.ArgumentParser(description=__doc__).parse_args()  # no options but --help
    start = time.time()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # mmdet uses a visible GPU even with --gpus 0
    os.environ.setdefault("OMP_NUM_THREADS", str(leave_a_core()))
    WORK.mkdir(parents=True, exist_ok=True)
    LOG.unlink(missing_ok=True)
    print(f"Some minutes on two cores; OMP_NUM_THREADS=N sets the threads. Full log: {LOG}")
    size = ("--num-train", "600", "--num-val", "100", "--image-size", "160", "--seed", "0")
    make = [sys.executable, "demo/make_scenes.py", str(WORK / "data"), *size]
    run_phase("generating images", make, folder=ROOT, log=LOG)
    mmdet = distribution_of("mmdet")
    epochs = Config.fromfile(ROOT / CONFIG).train_cfg.max_epochs
    mim(
        "training from boxes", "train", mmdet, CONFIG, "--gpus", "0",
        "--work-dir", str(WORK / "train"), epochs=epochs,
    )  # fmt: skip
    checkpoint = (WORK / "train" / "last_checkpoint").read_text().strip()
    mim(
        "testing with exact masks", "test", mmdet, CONFIG, "--checkpoint", checkpoint,
        "--gpus", "0", "--work-dir", str(WORK / "test"),
    )  # fmt: skip
    metrics = latest_metrics(WORK / "test")
    with LOG.open("a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        report = write_report(ROOT / CONFIG, checkpoint, metrics, WORK)
    correspondence = correspond(checkpoint)
    print(report, correspondence, sep="\n")
    print(f"A correspondence: {WORK / 'images' / 'correspondence.png'}")
    print(f"Done in {(time.time() - start) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
