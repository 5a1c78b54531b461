"""The box labeller on two CPU cores, from the boxes of COCO images of all classes."""

_base_ = [
    "../_base_/models/box_labeler_lite0.py",
    "../_base_/datasets/box_crops.py",
    "../_base_/schedules/lite0.py",
]
coco_mini = dict(
    data_root="{{$DISCOBOX_DATA:data}}/coco_mini/",
    data_prefix=dict(img="images/"),
)
train_dataloader = dict(dataset=dict(dataset=dict(ann_file="boxes.json", **coco_mini)))
val_dataloader = dict(dataset=dict(dataset=dict(ann_file="instances.json", **coco_mini)))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=6e-4))
train_cfg = dict(max_epochs=8, val_interval=8)
auto_scale_lr = dict(base_batch_size=16)
