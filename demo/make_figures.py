"""Draw the figures of the documentation from output of the package on generated images.

    python demo/make_figures.py [--out docs/images]

No network is trained: coarse masks are exact ones at 1/24 of the resolution with noise, and the
features for correspondence are those of an ImageNet backbone (the extra `[demo]`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from mmdet_discobox.functional import cosine_similarity, geometric_votes, transfer_masks
from mmdet_discobox.models.backbones import EfficientNetLite
from mmdet_discobox.models.teachers import (
    CorrespondenceSolver,
    StructuredTeacher,
    crop_regions,
    paste_regions,
)
from mmdet_discobox.structures import BoxObjects, Correspondences, MaskProposals, PseudoMasks
from mmdet_discobox.visualization import draw_masks
from scenes import Scene, render_scene

SIZE = 448  # pixels along a side of an image
STRIDE = 4  # of the masks of a network
CELLS = 14  # along a side of a box, in the figure of correspondences
PANEL = 2.3  # inches
DPI = 150
YELLOW = dict(fill=False, color="yellow", linewidth=1.5)


def coarse_logits(scene: Scene, seed: int) -> torch.Tensor:
    """Imitate a network in training by ``(G, h, w)`` log-odds of coarse and noisy masks."""
    rng, small = np.random.default_rng(seed), SIZE // 24
    logits = []
    for item in scene.objects:
        mask = item.mask.astype(np.float32)
        probs = cv2.resize(mask, (small, small), interpolation=cv2.INTER_AREA)
        probs += rng.normal(0, 0.15, probs.shape).astype(np.float32)
        probs = cv2.resize(probs, (SIZE // STRIDE,) * 2).clip(0.05, 0.95)
        logits.append(np.log(probs / (1 - probs)))
    return torch.from_numpy(np.stack(logits))


def objects_of(scene: Scene) -> BoxObjects:
    """Collect boxes and labels of a scene, as a batch of one image."""
    count = len(scene.objects)
    return BoxObjects(
        boxes=torch.tensor(np.stack([item.box for item in scene.objects])).float(),
        labels=torch.tensor([item.label for item in scene.objects]),
        image_inds=torch.zeros(count, dtype=torch.long),
        image_sizes=torch.tensor([[SIZE, SIZE]]).float(),
        image_ids=torch.full((count,), -1),
    )


def image_tensor(scene: Scene) -> torch.Tensor:
    """Return the image of a scene as ``(1, 3, H, W)`` RGB in [0, 255]."""
    return torch.from_numpy(scene.image).permute(2, 0, 1)[None].float()


def refine(scene: Scene, logits: torch.Tensor) -> PseudoMasks:
    """Refine the masks of a scene by the structured teacher."""
    proposals = MaskProposals(logits, torch.arange(len(logits)), objects_of(scene), STRIDE)
    return StructuredTeacher()(proposals, image_tensor(scene))


def draw_overview(path: Path, seed: int) -> None:
    """Draw boxes, coarse masks, refined masks and true masks of one image."""
    scene = render_scene(np.random.default_rng(seed), SIZE)
    logits = coarse_logits(scene, seed)
    refined = refine(scene, logits)
    large = F.interpolate(logits[:, None], (SIZE, SIZE), mode="bilinear")[:, 0]
    found = paste_regions(refined.masks, refined.regions, (SIZE, SIZE))
    boxes = np.stack([item.box for item in scene.objects])
    masks = np.stack([item.mask for item in scene.objects])
    pale = np.repeat(scene.image.mean(2, keepdims=True) // 2 + 110, 3, 2).astype(np.uint8)
    panels = {
        "your annotation: boxes": scene.image,
        "coarse masks (imitated)": draw_masks(pale, (large > 0).numpy()),
        "masks refined by the teacher": draw_masks(pale, (found > 0.5).numpy()),
        "true masks": draw_masks(pale, masks),
    }
    axes = grid(1, len(panels))
    for axis, (title, panel) in zip(axes, panels.items(), strict=True):
        show(axis, panel, title)
    for x1, y1, x2, y2 in boxes:
        axes[0].add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **YELLOW))
    save(path)


def draw_refinement(path: Path, seed: int, index: int) -> None:
    """Draw one object on its grid: colours, affinity, coarse mask, marginals, refined mask."""
    scene = render_scene(np.random.default_rng(seed), SIZE)
    logits = coarse_logits(scene, seed)
    objects, teacher = objects_of(scene), StructuredTeacher()
    refined = refine(scene, logits)
    region, size = refined.regions[index : index + 1], refined.masks.shape[-1]
    first = torch.zeros(1, dtype=torch.long)
    colours = crop_regions(image_tensor(scene), region, first, size)
    start = crop_regions(logits[index][None, None], region / STRIDE, first, size)[:, 0]
    inside = refined.inside[index : index + 1]
    field = teacher.refine.field(start, colours, inside, torch.ones_like(inside))
    affinity = field.affinity[:8, 0].mean(0) / teacher.refine.w1
    crop = colours[0].permute(1, 2, 0).numpy() / 255
    axes = grid(1, 5)
    show(axes[0], crop, "colours of the box and a margin")
    show(axes[1], affinity.numpy(), "affinity to the 8 neighbours", cmap="magma")
    show(axes[2], start[0].sigmoid().numpy(), "coarse mask $m$", cmap="viridis", limits=(0, 1))
    show(axes[3], refined.masks[index].numpy(), "marginals $q$", cmap="viridis", limits=(0, 1))
    show(axes[4], crop, "refined (white), true (black)")
    mask = torch.from_numpy(scene.objects[index].mask)[None, None].float()
    truth = crop_regions(mask, region, first, size)[0, 0]
    axes[4].contour(truth, [0.5], colors="black", linewidths=2.6)
    axes[4].contour(refined.masks[index], [0.5], colors="white", linewidths=1.3)
    corners = objects.boxes[index].view(2, 2) - region[0, :2]
    (x1, y1), (x2, y2) = (corners / (region[0, 2:] - region[0, :2]) * size - 0.5).tolist()
    for axis in axes[:2]:
        axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **YELLOW))
    save(path)


def match(
    seeds: Sequence[int], indices: Sequence[int]
) -> tuple[Correspondences, list[np.ndarray], list[np.ndarray]]:
    """Match one object of each of two scenes; return correspondences, crops and masks."""
    network = EfficientNetLite().eval()
    features, masks, crops = [], [], []
    first = torch.zeros(1, dtype=torch.long)
    for seed, index in zip(seeds, indices, strict=True):
        scene = render_scene(np.random.default_rng(seed), SIZE)
        box = objects_of(scene).boxes[index : index + 1]
        image = image_tensor(scene)
        with torch.no_grad():
            maps = network((image - 127) / 128)[2]
        features.append(crop_regions(maps, box / 16, first, CELLS))
        pseudo = refine(scene, coarse_logits(scene, seed))
        pixels = paste_regions(pseudo.masks, pseudo.regions, (SIZE, SIZE))[index][None, None]
        masks.append(crop_regions(pixels, box, first, CELLS)[:, 0])
        crop = crop_regions(image, box, first, 16 * CELLS)[0].permute(1, 2, 0)
        crops.append((crop / 255).clamp(0, 1).numpy())
    found = CorrespondenceSolver()(cosine_similarity(*features), *masks)
    return found, crops, [mask[0].numpy() for mask in masks]


def draw_correspondence(
    path: Path, seeds: Sequence[int], indices: Sequence[int], cell: tuple[int, int]
) -> None:
    """Draw similarities, votes and plan of one cell, and colours transferred by the plan."""
    found, (source, target), masks = match(seeds, indices)
    row = cell[0] * CELLS + cell[1]
    plan, total = found.plan[0], found.similarity[0]
    votes = geometric_votes(found.plan, size=CELLS, gamma=CorrespondenceSolver().gamma * CELLS**2)[
        0
    ]
    code = colour_code(CELLS)
    channels = torch.from_numpy(code).reshape(-1, 3).T.float()
    transferred = transfer_masks(found.plan.mT.expand(3, -1, -1), channels).T
    axes = grid(2, 3)
    show(axes[0], source, "object $n$: one of its cells")
    mark(axes[0], cell)
    for axis, values, title in (
        (axes[1], total[row] - votes[row], "appearance $C_u(i, k)$"),
        (axes[2], votes[row], "votes $C_g(i, k)$"),
        (axes[3], plan[row], "plan $T(i, k)$"),
    ):
        show(axis, target.mean(2), title, cmap="gray", limits=(0, 1))
        overlay(axis, values.reshape(CELLS, CELLS).numpy())
    show(axes[4], tint(source, code, masks[0]), "object $n$, coloured by position")
    show(
        axes[5],
        tint(target, transferred.reshape(code.shape).numpy(), masks[1]),
        "object $s$, colours transferred by $T$",
    )
    save(path)


def colour_code(size: int) -> np.ndarray:
    """Return ``(S, S, 3)`` colours in [0, 1] that vary with the position."""
    y, x = np.indices((size, size)) / (size - 1)
    return np.stack([x, 1 - y, 0.25 + 0.75 * y * (1 - x)], 2)


def tint(crop: np.ndarray, code: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Blend colours over the foreground of a crop."""
    size = crop.shape[:2][::-1]
    colours = cv2.resize(code.astype(np.float32), size)
    alpha = 0.85 * (cv2.resize(mask.astype(np.float32), size) > 0.5)[..., None]
    return (1 - alpha) * crop.mean(2, keepdims=True) + alpha * colours


def mark(axis: Axes, cell: tuple[int, int]) -> None:
    """Draw the border of a cell."""
    axis.add_patch(
        Rectangle((16 * cell[1], 16 * cell[0]), 16, 16, fill=False, color="red", linewidth=2.5)
    )


def overlay(axis: Axes, values: np.ndarray) -> None:
    """Overlay a crop with values of its cells."""
    values = (values - values.min()) / max(values.max() - values.min(), 1e-9)
    axis.imshow(
        values, cmap="inferno", alpha=0.1 + 0.85 * values, extent=(0, 16 * CELLS, 16 * CELLS, 0),
        interpolation="nearest",
    )  # fmt: skip


def grid(rows: int, columns: int) -> list[Axes]:
    """Create a figure and return its axes, row by row."""
    _, axes = plt.subplots(
        rows, columns, figsize=(PANEL * columns, (PANEL + 0.25) * rows), layout="constrained"
    )
    return list(axes.flat)


def show(
    axis: Axes,
    image: np.ndarray,
    title: str,
    cmap: str | None = None,
    limits: tuple[float | None, float | None] = (None, None),
) -> None:
    """Show an image without ticks."""
    axis.imshow(image, cmap=cmap, vmin=limits[0], vmax=limits[1])
    axis.set_title(title, fontsize=9)
    axis.set_axis_off()


def save(path: Path) -> None:
    """Write the figure in 256 colours, which takes a third of the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.savefig(path, dpi=DPI)
    plt.close()
    with Image.open(path) as image:
        image.convert("RGB").quantize(256, kmeans=1).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Draw all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    out = parser.parse_args().out
    draw_overview(out / "overview.png", seed=1)
    draw_refinement(out / "refinement.png", seed=1, index=2)
    draw_correspondence(out / "correspondence.png", seeds=(11, 36), indices=(0, 0), cell=(3, 7))


if __name__ == "__main__":
    main()
