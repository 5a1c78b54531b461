"""Table 3, first row: multiple-instance learning alone."""

_base_ = ["./solov2_r50_voc.py"]
model = dict(structured_teacher=None, teacher_network=None)
custom_hooks = [dict(type="NumClassCheckHook"), dict(type="CheckInvalidLossHook")]
