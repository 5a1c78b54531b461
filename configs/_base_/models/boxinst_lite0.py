"""mmdet's BoxInst on the network of `condinst_lite0.py`."""

_base_ = "./condinst_lite0.py"
model = dict(
    type="BoxInst",
    data_preprocessor=dict(
        type="BoxInstDataPreprocessor",
        mask_stride=4,
        bottom_pixels_removed=4,  # mmdet's 10 pixels of 800, for 320
    ),
    bbox_head=dict(type="BoxInstBboxHead"),
    # mmdet's 10,000 of 90,000 iterations, for 6 epochs of 740 images
    mask_head=dict(type="BoxInstMaskHead", warmup_iters=62),
)
