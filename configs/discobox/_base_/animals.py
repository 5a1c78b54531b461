"""Photographs of five kinds of animals: boxes to train on, COCO's masks to test on.

The folder comes from the environment. Both parts are plain names for a leaf to use.
"""

animals_root = "{{$DISCOBOX_DATA:data}}/"
animals_train = dict(
    data_root=animals_root,
    ann_file="animals/train_boxes.json",
    data_prefix=dict(img="animals/train/"),
    metainfo=dict(
        classes=("dog", "cat", "sheep", "horse", "cow"),
        palette=[(230, 159, 0), (86, 180, 233), (0, 158, 115), (0, 114, 178), (213, 94, 0)],
    ),
)
animals_val = dict(
    animals_train,
    ann_file="animals/val_masks.json",
    data_prefix=dict(img="coco_mini/images/"),
)
animals_evaluator = dict(ann_file=animals_root + "animals/val_masks.json")
