"""DiscoBox RTMDet-Ins, ConvFormer-S18 (timm), COCO from boxes. Not in the paper, not trained."""

_base_ = "./rtmdet-ins_l.py"
custom_imports = dict(imports=["mmdet_discobox", "mmpretrain.models"], allow_failed_imports=False)
# as in `convformer-s18.py`, with the three levels of RTMDet
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(
        _delete_=True,
        type="mmpretrain.TIMMBackbone",
        model_name="convformer_s18.sail_in22k_ft_in1k",
        features_only=True,
        pretrained=True,
        out_indices=[1, 2, 3],
        drop_path_rate=0.2,
    ),
    neck=dict(in_channels=[128, 320, 512]),
)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
