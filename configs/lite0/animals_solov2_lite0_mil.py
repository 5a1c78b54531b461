"""Animals with multiple-instance learning alone."""

_base_ = ["./animals_solov2_lite0.py"]
model = dict(structured_teacher=None, teacher_network=None)
custom_hooks = [dict(type="NumClassCheckHook"), dict(type="CheckInvalidLossHook")]
