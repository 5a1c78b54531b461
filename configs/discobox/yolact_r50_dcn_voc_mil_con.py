"""Table 3, second row: multiple-instance learning and the consistency loss."""

_base_ = ["./yolact_r50_dcn_voc.py"]
model = dict(structured_teacher=dict(cross_image=None))
