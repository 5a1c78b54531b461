"""DiscoBox RTMDet-Ins, small, COCO from boxes: not in the paper, not trained yet."""

_base_ = "./rtmdet-ins_l.py"
model = dict(
    backbone=dict(
        deepen_factor=0.33,
        widen_factor=0.5,
        init_cfg=dict(
            type="Pretrained",
            prefix="backbone.",
            checkpoint="https://download.openmmlab.com/mmdetection/v3.0/rtmdet/"
            "cspnext_rsb_pretrain/cspnext-s_imagenet_600e.pth",
        ),
    ),
    neck=dict(in_channels=[128, 256, 512], out_channels=128, num_csp_blocks=1),
    bbox_head=dict(in_channels=128, feat_channels=128),
)
