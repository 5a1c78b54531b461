"""The text of a config: what is the same for every network and data set."""

from __future__ import annotations

#: for ``str.format``
TEMPLATE = '''\
"""{title} from the boxes{and_masks} of {name}.

Written by tools/check_dataset.py --write-config, to be edited.
"""

_base_ = ["{base}"]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)

# {counts}
classes = {classes}

# Edit these two here: --cfg-options does not reach their uses below.
{tiny}# {why_scale}
image_scale = {image_scale}
batch_size = {batch_size}  # images of a GPU in a step: fewer need less memory

# Weights that mmdet trained on the masks of COCO. A line of the log names those that do not fit,
# such as heads for other classes. None starts from ImageNet, which takes a longer training. The
# weights of ImageNet are downloaded as well, and then replaced. Without a network connection, name
# a local file here, and add `backbone=dict(init_cfg=None),` inside `model` below.
load_from = (
    "{weights_folder}/"
    "{weights_file}"
)
model = dict(
{model}\
    # masks alone; cross_image=dict(type="CrossImageTerm") adds correspondences
    structured_teacher=dict(type="StructuredTeacher"),
    teacher_network=dict(momentum=0.001),
{true_masks})
custom_hooks = [
    dict(type="NumClassCheckHook"),
    dict(type="CheckInvalidLossHook"),  # a training that turned NaN ends
    dict(type="TeacherEMAHook"),
    dict(type="StructuredTeacherHook"),
]
default_hooks = dict(
    checkpoint=dict(by_epoch=True, interval={interval}, max_keep_ckpts=3),
    resume=dict(type="ResumeHook"),
    start=dict(type="PretrainedStartHook"),
)
log_processor = dict(by_epoch=True)

# {steps} steps on one GPU
train_cfg = dict(
    _delete_=True, type="EpochBasedTrainLoop", max_epochs={epochs}, val_interval={interval}
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end={warm_up}),
    dict(type="CosineAnnealingLR", by_epoch=True, convert_to_iter_based=True),
]
{optimiser}
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
{load_masks}    {resize},
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=image_scale, keep_ratio=True),
    dict(
        type="PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(_delete_=True, type="AspectRatioBatchSampler"),
    dataset=dict(
        type="CocoBoxDataset",
        data_root="",
        ann_file={train},
        data_prefix=dict(img={train_images}),
        metainfo=dict(classes=classes),
        filter_cfg={filter_cfg},
{use_masks}        pipeline=train_pipeline,
    ),
)
{tested}test_json = {test}
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    dataset=dict(
        type="CocoBoxDataset",
        data_root="",
        ann_file=test_json,
        data_prefix=dict(img={test_images}),
        metainfo=dict(classes=classes),
        pipeline=test_pipeline,
    ),
)
test_evaluator = dict(type="CocoBoxMetric", ann_file=test_json, metric={metric})
{validation}
'''

#: keys of :data:`TEMPLATE` with which true masks are read
MASKS = dict(
    true_masks="    true_masks=True,\n",
    load_masks='    dict(type="LoadTrueMasks"),\n',
    use_masks="        use_masks=True,\n",
)
VALIDATION = """\
val_dataloader = test_dataloader
val_evaluator = test_evaluator
"""
NO_VALIDATION = """\
val_dataloader = None
val_evaluator = None
val_cfg = None
"""
