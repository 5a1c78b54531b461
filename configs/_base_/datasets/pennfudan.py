"""Photographs of pedestrians (Penn-Fudan): boxes to train on, masks to test on.

The folder comes from the environment, or --cfg-options.
"""

_base_ = "./lite0.py"
pennfudan_root = "{{$DISCOBOX_DATA:data}}/pennfudan/"
pennfudan = dict(
    data_root=pennfudan_root,
    data_prefix=dict(img="images/"),
    metainfo=dict(classes=("person",)),
)
train_dataloader = dict(dataset=dict(ann_file="train_boxes.json", **pennfudan))
val_dataloader = dict(dataset=dict(ann_file="val_masks.json", **pennfudan))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=pennfudan_root + "val_masks.json")
test_evaluator = val_evaluator
