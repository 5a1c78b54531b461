"""The benchmark of the loader, on a tiny data set."""

from __future__ import annotations

from tiny import write_boxes

import bench_loader


def write_config(path, root, dataset, ann_file, with_mask):
    path.write_text(f"""
train_dataloader = dict(dataset=dict(
    type="{dataset}", data_root="{root}", ann_file="{ann_file}",
    data_prefix=dict(img="images/"), metainfo=dict(classes=("one", "two", "three")),
    pipeline=[dict(type="LoadImageFromFile"),
              dict(type="LoadAnnotations", with_bbox=True, with_mask={with_mask}),
              dict(type="Resize", scale=(64, 64), keep_ratio=True)]))
""")
    return path


def test_every_config_loads_its_images(tmp_path, capsys):
    root = write_boxes(tmp_path / "set")
    paths = [
        write_config(tmp_path / "with_masks.py", root, "CocoDataset", "masks.json", True),
        write_config(tmp_path / "with_boxes.py", root, "CocoBoxDataset", "boxes.json", False),
    ]
    seconds = bench_loader.image_seconds(paths, 5)
    assert [len(mine) for mine in seconds] == [5, 5]
    assert min(map(min, seconds)) > 0
    bench_loader.main(["--configs", *map(str, paths), "--images", "3"])
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split()[0] for line in lines] == ["with_masks", "with_boxes"]
    assert lines[0].endswith("x1.00")
