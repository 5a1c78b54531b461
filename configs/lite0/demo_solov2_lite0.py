"""`make demo`: the generated scenes from boxes, minutes on two CPU cores."""

_base_ = [
    "../_base_/models/discobox_solov2_lite0.py",
    "../_base_/datasets/scenes.py",
    "../_base_/schedules/demo.py",
]
# Grids and ranges for objects of 40 to 85 % of an image of 160 pixels.
model = dict(
    mask_head=dict(
        num_classes=6,
        num_grids=[12, 10, 8, 6, 5],
        scale_ranges=((1, 48), (36, 72), (56, 104), (84, 144), (116, 2048)),
    )
)
