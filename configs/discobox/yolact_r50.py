"""DiscoBox on plain YOLACT: no deformable convolutions, three anchors, masks not re-scored."""

_base_ = ["./yolact_r50_dcn.py"]
model = dict(
    backbone=dict(type="ResNet", dcn=None),
    bbox_head=dict(anchor_generator=dict(scales_per_octave=1)),
    mask_head=dict(rescoring=None),
)
