"""The generated data set of `demo/make_scenes.py`."""

scenes_root = "{{$DISCOBOX_SCENES:work_dirs/demo/data}}/"
scenes_dataset = dict(
    data_root=scenes_root,
    data_prefix=dict(img=""),
    metainfo=dict(
        classes=("fish", "airplane", "umbrella", "teapot", "windmill", "flower"),
        palette=[
            (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178),
            (213, 94, 0),
        ],
    ),
)  # fmt: skip
