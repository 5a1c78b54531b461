"""Table 3, second row: multiple-instance learning and the consistency loss."""

_base_ = ["./solov2_r50_voc.py"]
model = dict(structured_teacher=dict(cross_image=None))
