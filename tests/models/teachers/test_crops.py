from __future__ import annotations

import torch

from mmdet_discobox.models.teachers import crops
from mmdet_discobox.models.teachers.crops import (
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
