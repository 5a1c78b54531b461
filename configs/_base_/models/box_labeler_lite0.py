"""The box labeller with EfficientNet-Lite0, for CPUs."""

_base_ = "./discobox.py"
custom_hooks = [
    dict(type="CheckInvalidLossHook"),
    dict(type="TeacherEMAHook"),
    dict(type="StructuredTeacherHook"),
]
model = dict(
    type="DiscoBoxLabeler",
    data_preprocessor=dict(
        type="DetDataPreprocessor",
        mean=[127.0, 127.0, 127.0],
        std=[128.0, 128.0, 128.0],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    backbone=dict(type="EfficientNetLite"),
    neck=dict(type="FPN", in_channels=[24, 40, 112, 320], out_channels=64, num_outs=4),
    mask_head=dict(type="BoxMaskHead", box_jitter=0.03),
    # objects compete when whole images are labelled; a crop of the training has a single one
    structured_teacher=dict(type="StructuredTeacher", competition=0.25),
    teacher_network=dict(momentum=0.01),
    loss_mil=dict(type="BoxMILLoss", form="dice"),
    loss_consistency=dict(
        type="MaskConsistencyLoss",
        form="dice",
        outside=1.0,
        weighted=True,
        ignore=(0.3, 0.7),
        loss_weight=3.0,
    ),
    colour_jitter=dict(),
)
