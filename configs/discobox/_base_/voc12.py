"""VOC12 with the additional training images of SBD, converted to COCO json."""

voc12_root = "data/VOC12/"
voc12_dataset = dict(
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
