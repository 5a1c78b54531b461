"""Drawings and a table of results for `make demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv import imread, imrescale, imwrite
from mmcv.transforms import Compose
from mmdet.apis import inference_detector, init_detector
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from pycocotools import mask as rle
from pycocotools.coco import COCO
from scipy.optimize import linear_sum_assignment

from mmdet_discobox.models.teachers import paste_regions
from mmdet_discobox.visualization import draw_panels

SCORE = 0.3
ENLARGED = 2  # pixels of a drawing per pixel of the image
COLUMNS = ("image and boxes", "student", "teacher", "truth")


def write_report(config: Path, checkpoint: str, metrics: dict[str, float], folder: Path) -> str:
    """Draw `images/*.png` and write `table.txt`.

    Args:
        config: config of the demo.
        checkpoint: trained student and teacher.
        metrics: metrics of `mim test`.
        folder: folder of the results.

    Returns:
        The table as text.
    """
    model = init_detector(str(config), checkpoint, device="cpu")
    cfg = Config.fromfile(config)
    coco = COCO(str(Path(cfg.val_evaluator.ann_file)))
    drawings = folder / "images"
    drawings.mkdir(parents=True, exist_ok=True)
    scores: list[tuple[float, float, float]] = []
    for number, info in enumerate(coco.loadImgs(sorted(coco.getImgIds()))):
        path = str(Path(cfg.scenes_root) / info["file_name"])
        truth = _truth(coco, info["id"])
        predicted = inference_detector(model, path).pred_instances
        predicted = predicted[predicted.scores > SCORE]
        teacher = _teacher_masks(model, cfg, path, truth)
        scores += _scores(predicted, teacher, truth)
        if number < 24:
            image = imread(path, channel_order="rgb")
            student = _in_order_of(truth["masks"], predicted.masks.numpy())
            panels = draw_panels(image, truth["boxes"], (student, teacher, truth["masks"]))
            imwrite(imrescale(panels[..., ::-1], ENLARGED), str(drawings / f"{number:03d}.png"))
    table = _table(np.array(scores), metrics)
    (folder / "table.txt").write_text(table + "\n")
    return f"\n{table}\n\nDrawings ({', '.join(COLUMNS)}): {drawings}"


def _truth(coco: COCO, image_id: int) -> dict[str, np.ndarray]:
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image_id], iscrowd=False))
    boxes = np.array([a["bbox"] for a in annotations], dtype=np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    size = coco.imgs[image_id]["height"], coco.imgs[image_id]["width"]
    masks = [coco.annToMask(a).astype(bool) for a in annotations]
    ids = sorted(coco.getCatIds())
    return dict(
        boxes=boxes,
        labels=np.array([ids.index(a["category_id"]) for a in annotations], dtype=np.int64),
        masks=np.array(masks).reshape(-1, *size),
    )


def _teacher_masks(model: Any, cfg: Config, path: str, truth: dict[str, np.ndarray]) -> np.ndarray:
    """Refine masks of the true boxes by the teacher, at the size of the image."""
    pipeline = Compose(cfg.test_dataloader.dataset.pipeline[:2])  # load, resize
    loaded = pipeline(dict(img_path=path, img_id=0))
    height, width = loaded["ori_shape"]
    scale = np.array([loaded["img_shape"][1] / width, loaded["img_shape"][0] / height] * 2)
    loaded["gt_bboxes"] = (truth["boxes"] * scale).astype(np.float32)
    loaded["gt_bboxes_labels"] = truth["labels"]
    loaded["gt_ignore_flags"] = np.zeros(len(truth["labels"]), dtype=bool)
    packed = Compose([dict(type="PackDetInputs", meta_keys=("ori_shape", "img_shape"))])(loaded)
    batch = model.data_preprocessor(pseudo_collate([packed]), False)
    pseudo = model.teach(batch["inputs"], batch["data_samples"])
    regions = pseudo.regions / torch.as_tensor(scale, dtype=torch.float32)
    return (paste_regions(pseudo.masks, regions, (height, width)) > 0.5).numpy()


def _iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    encoded = [
        [rle.encode(np.asfortranarray(m, dtype=np.uint8)) for m in x] for x in (first, second)
    ]
    return np.array(rle.iou(*encoded, [0] * len(second))).reshape(len(first), len(second))


def _in_order_of(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Sort predicted masks by the true ones, so that an object has one colour in all panels.

    Missed objects get an empty mask; unmatched predictions are last.
    """
    rows, columns = linear_sum_assignment(_iou(predicted, truth), maximize=True)
    found = np.zeros_like(truth)
    found[columns] = predicted[rows]
    return np.concatenate([found, np.delete(predicted, rows, axis=0)])


def _scores(
    predicted: Any, teacher: np.ndarray, truth: dict[str, np.ndarray]
) -> list[tuple[float, float, float]]:
    """Compute the IoU of student, teacher and filled box with the mask of each true object.

    The student's mask is the prediction of the object's class with the largest IoU, 0 without one.
    """
    filled = np.zeros_like(truth["masks"])
    for mask, (x1, y1, x2, y2) in zip(filled, truth["boxes"].round().astype(int), strict=True):
        mask[y1:y2, x1:x2] = True
    student = _iou(predicted.masks.numpy(), truth["masks"])
    student = student * (predicted.labels.numpy()[:, None] == truth["labels"])
    best = student.max(0) if len(student) else np.zeros(len(filled))
    rest = (np.diag(_iou(masks, truth["masks"])) for masks in (teacher, filled))
    return list(zip(best, *rest, strict=True))


def _table(scores: np.ndarray, metrics: dict[str, float]) -> str:
    matched = scores[:, 0] > 0
    student, teacher, filled = scores[matched].mean(0)
    rows = [
        (
            "mask AP / AP50 / AP75 (student)",
            [metrics[f"coco/segm_mAP{k}"] for k in ("", "_50", "_75")],
        ),
        (
            "box AP / AP50 / AP75 (student)",
            [metrics[f"coco/bbox_mAP{k}"] for k in ("", "_50", "_75")],
        ),
        (f"mean IoU of {matched.sum()} matched of {len(scores)} objects: student", [student]),
        ("the same objects: teacher", [teacher]),
        ("the same objects: filled box", [filled]),
    ]
    return "\n".join(
        f"{name:58s} " + "  ".join(f"{v:.3f}" for v in values) for name, values in rows
    )
