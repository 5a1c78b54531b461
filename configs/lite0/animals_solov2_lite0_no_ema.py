"""Animals with all losses, the student's own masks refined: no teacher network."""

_base_ = ["./animals_solov2_lite0.py"]
model = dict(teacher_network=None)
custom_hooks = [
    dict(type="NumClassCheckHook"),
    dict(type="CheckInvalidLossHook"),
    dict(type="StructuredTeacherHook"),
]
