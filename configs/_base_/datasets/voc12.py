"""VOC12 with the additional training images of SBD, converted to COCO json.

Plain names for a leaf, because a stock base has the loaders and the evaluator of COCO.
"""

voc12_root = "data/VOC12/"
voc12 = dict(
    data_root=voc12_root,
    data_prefix=dict(img="JPEGImages/"),
    metainfo=dict(
        classes=(
            "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
            "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
            "train", "tvmonitor",
        ),
        palette=None,
    ),
)  # fmt: skip
voc12_train = dict(ann_file="train_aug_boxes.json", **voc12)
voc12_val = dict(ann_file="val.json", **voc12)
voc12_evaluator = dict(type="VOCInstanceMetric", ann_file=voc12_root + "val.json")
