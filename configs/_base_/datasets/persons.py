"""COCO-format photographs of persons. The folder comes from the environment, or --cfg-options."""

_base_ = "./lite0.py"
persons_root = "{{$DISCOBOX_DATA:data}}/persons/"
persons = dict(
    data_root=persons_root,
    data_prefix=dict(img="images/"),
    metainfo=dict(classes=("person",)),
)
train_dataloader = dict(dataset=dict(ann_file="train_boxes.json", **persons))
val_dataloader = dict(dataset=dict(ann_file="val.json", **persons))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=persons_root + "val.json")
test_evaluator = val_evaluator
