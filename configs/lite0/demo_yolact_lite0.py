"""The generated scenes with YOLACT++ from boxes; `make demo` runs `demo_solov2_lite0.py`."""

_base_ = [
    "../_base_/models/discobox_yolact_lite0.py",
    "../_base_/datasets/scenes.py",
    "../_base_/schedules/demo.py",
]
scenes_cells = [20, 10, 5, 3, 2]  # along each side of an image
model = dict(
    data_preprocessor=dict(pad_size_divisor=160),
    bbox_head=dict(
        num_classes=6,
        # Objects of 64 to 136 pixels on the maps of 10 and 5 cells: on those of 3 and 2 cells,
        # group normalisation leaves nothing of them to classify.
        anchor_generator=dict(
            base_sizes=[24, 48, 96, 192, 384],
            strides=[160.0 / x for x in scenes_cells],
            centers=[(80.0 / x, 80.0 / x) for x in scenes_cells],
        ),
    ),
    mask_head=dict(num_classes=6),
)
