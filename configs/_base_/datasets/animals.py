"""Photographs of five kinds of animals: boxes to train on, COCO's masks to test on.

The folder comes from the environment, or --cfg-options.
"""

_base_ = "./lite0.py"
animals_root = "{{$DISCOBOX_DATA:data}}/"
animals = dict(
    data_root=animals_root,
    metainfo=dict(
        classes=("dog", "cat", "sheep", "horse", "cow"),
        palette=[(230, 159, 0), (86, 180, 233), (0, 158, 115), (0, 114, 178), (213, 94, 0)],
    ),
)
train_dataloader = dict(
    dataset=dict(
        ann_file="animals/train_boxes.json", data_prefix=dict(img="animals/train/"), **animals
    )
)
val_dataloader = dict(
    dataset=dict(
        ann_file="animals/val_masks.json", data_prefix=dict(img="coco_mini/images/"), **animals
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=animals_root + "animals/val_masks.json")
test_evaluator = val_evaluator
