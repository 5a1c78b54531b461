from __future__ import annotations

import pytest
import torch

from mmdet_discobox.models.teachers import crops
from mmdet_discobox.models.teachers.crops import (
    average_grids,
    centres_inside,
    crop_regions,
    grid_centres,
    paste_regions,
)


def plane(height, width):
    """Map with the value 2 x + 3 y at the centre of each pixel."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return 2 * x + 3 * y


def test_a_linear_map_is_sampled_at_cell_centres():
    regions = torch.tensor([[3.0, 2.0, 19.0, 26.0], [4.5, 6.25, 9.0, 8.75]])
    crops = crop_regions(plane(32, 32)[None, None], regions, torch.zeros(2), 8)[:, 0]
    x, y = grid_centres(regions, 8)
    torch.testing.assert_close(crops, 2 * x[:, None, :] + 3 * y[:, :, None])


def test_regions_as_large_as_the_grid_average_their_pixels():
    image = torch.rand(1, 1, 32, 32)
    crop = crop_regions(image, torch.tensor([[0.0, 0.0, 32.0, 32.0]]), torch.zeros(1), 32)
    torch.testing.assert_close(crop, image)


def test_reads_the_map_of_each_index():
    maps = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)])
    crops = crop_regions(maps, torch.tensor([[1.0, 1, 7, 7]]).repeat(2, 1), torch.tensor([1, 0]), 4)
    assert crops[:, 0].mean((1, 2)).tolist() == [1.0, 0.0]


def test_memory_layout_does_not_matter():
    image = torch.rand(1, 12, 16, 3).permute(0, 3, 1, 2)
    regions, inds = torch.tensor([[1.0, 2.0, 14.0, 9.0]]), torch.zeros(1)
    expected = crop_regions(image.contiguous(), regions, inds, 6)
    assert torch.equal(crop_regions(image, regions, inds, 6), expected)


def test_half_precision_maps_are_read_in_float32():
    maps = torch.ones(1, 1, 8, 8, dtype=torch.bfloat16)
    assert (
        crop_regions(maps, torch.tensor([[1.0, 1, 7, 7]]), torch.zeros(1), 4).dtype == torch.float
    )


def test_paste_inverts_crop():
    regions = torch.tensor([[3.0, 2.0, 19.0, 26.0], [-4.0, 6.0, 12.0, 40.0]])
    x, y = grid_centres(regions, 16)
    pasted = paste_regions(2 * x[:, None, :] + 3 * y[:, :, None], regions, (32, 32))
    # not at the edge of the region, where the outermost cells are constant
    torch.testing.assert_close(pasted[0, 4:24, 5:17], plane(32, 32)[4:24, 5:17])
    torch.testing.assert_close(pasted[1, 8:, :10], plane(32, 32)[8:, :10])


def test_paste_equals_a_naive_interpolation():
    torch.manual_seed(0)
    grid, region = torch.rand(4, 4), [1.5, 0.25, 9.0, 6.0]
    pasted = paste_regions(grid[None], torch.tensor([region]), (8, 10))[0]
    for r in range(8):
        for c in range(10):
            y = (r + 0.5 - region[1]) / (region[3] - region[1])
            x = (c + 0.5 - region[0]) / (region[2] - region[0])
            value = 0.0
            if 0 <= y < 1 and 0 <= x < 1:
                row, col = (min(max(4 * s - 0.5, 0), 3) for s in (y, x))
                for i in range(4):
                    for j in range(4):
                        value += max(0, 1 - abs(row - i)) * max(0, 1 - abs(col - j)) * grid[i, j]
            assert abs(float(pasted[r, c]) - float(value)) < 1e-5


def test_a_box_survives_crop_and_paste():
    image = torch.zeros(1, 1, 40, 40)
    image[..., 10:25, 8:30] = 1
    region = torch.tensor([[4.0, 6.0, 34.0, 29.0]])
    crop = crop_regions(image, region, torch.zeros(1), 64)[:, 0]
    assert torch.equal(paste_regions(crop, region, (40, 40)) > 0.5, image[0] > 0.5)


def test_no_regions_do_not_call_the_operator(monkeypatch):
    """On a GPU mmcv would launch a grid of zero blocks, which is a CUDA error."""
    monkeypatch.setattr(crops, "roi_align", None)
    maps = torch.rand(2, 3, 8, 8, dtype=torch.bfloat16)
    found = crop_regions(maps, torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), 4)
    assert found.shape == (0, 3, 4, 4)
    assert found.dtype == torch.float


def test_samples_of_huge_regions_are_bounded(monkeypatch):
    """A box of 10,000 x 10,000 pixels would take 3 GB. The image here is a view of one pixel."""
    calls = []

    def recorded(maps, rois, size, scale, samples, *args):
        calls.append((rois[:, 3].tolist(), samples))
        return maps.new_zeros(len(rois), 1, *size)

    monkeypatch.setattr(crops, "roi_align", recorded)
    image = torch.zeros(1, 1, 1, 1, dtype=torch.float).expand(1, 1, 10_000, 10_000)
    monkeypatch.setattr(torch.Tensor, "contiguous", lambda tensor: tensor)
    regions = torch.tensor([[0.0, 0.0, 10_000.0, 10_000.0], [0.0, 0.0, 4096.0, 4096.0]])
    crop_regions(image, regions, torch.zeros(2), 64)
    assert calls == [([4096.0], 0), ([10_000.0], 64)]


def test_bounded_samples_keep_the_order_the_values_and_the_gradient(monkeypatch):
    image = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    regions = torch.tensor(
        [[2.0, 1.0, 45.0, 60.0], [3.0, 3.0, 7.0, 9.0], [0.0, 0.0, 48.0, 64.0], [8.0, 8.0, 8.0, 8.0]]
    )
    inds = torch.tensor([0, 1, 1, 0])
    plane_of = plane(64, 48)[None, None]
    dense, flat = (
        crop_regions(maps, regions, inds * (len(maps) - 1), 4) for maps in (image, plane_of)
    )
    monkeypatch.setattr(crops, "_SAMPLES", 32**2)  # 8 samples along each side of a cell
    maps = image.requires_grad_()
    found = crop_regions(maps, regions, inds, 4)
    assert torch.equal(found[1], dense[1])
    assert torch.equal(found[3], dense[3])
    torch.testing.assert_close(found, dense, atol=0.1, rtol=0)
    assert not torch.equal(found[0], dense[0])
    torch.testing.assert_close(crop_regions(plane_of, regions, inds * 0, 4)[:3], flat[:3])
    found.sum().backward()
    assert (maps.grad[1].sum() / (3 * 32)).item() == pytest.approx(1)  # 2 regions of 16 cells


def test_paste_ignores_autocast():
    grids, regions = torch.rand(2, 8, 8), torch.tensor([[3.0, 2.0, 19.0, 26.0]]).repeat(2, 1)
    expected = paste_regions(grids, regions, (32, 32))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(paste_regions(grids, regions, (32, 32)), expected)


def test_no_regions_and_degenerate_regions():
    assert paste_regions(torch.zeros(0, 4, 4), torch.zeros(0, 4), (5, 6)).shape == (0, 5, 6)
    point = torch.tensor([[3.0, 3.0, 3.0, 3.0]])
    assert (paste_regions(torch.ones(1, 4, 4), point, (6, 6)) == 0).all()
    assert crop_regions(torch.rand(1, 1, 6, 6), point, torch.zeros(1), 4).isfinite().all()


def test_cells_are_inside_if_their_centres_are():
    regions = torch.tensor([[0.0, 0.0, 4.0, 4.0]])
    cells = centres_inside(grid_centres(regions, 4), torch.tensor([[1.0, 0.0, 3.0, 2.0]]))
    assert cells[0].int().tolist() == [[0, 1, 1, 0], [0, 1, 1, 0], [0] * 4, [0] * 4]


@pytest.mark.parametrize(
    "target",
    [
        [3.0, 2.0, 43.0, 34.0],
        [-9.0, -9.0, 8.0, 7.5],
        [6.5, 7.0, 7.25, 9.0],
        [50.0, 50.0, 60.0, 70.0],
    ],
    ids=["around", "partly", "inside", "apart"],
)
def test_averages_of_areas_equal_a_naive_sum(target):
    grids = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0))
    source, size = [6.0, 5.0, 10.0, 11.0], 3
    found = average_grids(grids, torch.tensor([source]), torch.tensor([target]), size)[0]

    def cells(region, axis, count):
        low, high = region[axis], region[axis + 2]
        return [(low + (high - low) * i / count, low + (high - low) * (i + 1) / count)
                for i in range(count)]  # fmt: skip

    def shared(one, other):
        return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))

    for i, row in enumerate(cells(target, 1, size)):
        for j, col in enumerate(cells(target, 0, size)):
            area = (row[1] - row[0]) * (col[1] - col[0])
            expected = sum(
                float(grids[0, r, c]) * shared(y, row) * shared(x, col)
                for r, y in enumerate(cells(source, 1, 4))
                for c, x in enumerate(cells(source, 0, 4))
            )
            assert float(found[i, j]) == pytest.approx(expected / area, abs=1e-5)


def test_averages_of_degenerate_regions_are_finite():
    point, box = torch.tensor([[3.0, 3.0, 3.0, 3.0]]), torch.tensor([[0.0, 0.0, 1e5, 1e5]])
    grids = torch.ones(1, 4, 4)
    for source, target in ((point, box), (box, point), (point, point)):
        assert average_grids(grids, source, target, 8).isfinite().all()
