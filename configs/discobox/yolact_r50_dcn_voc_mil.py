"""Table 3, first row: multiple-instance learning alone. Without refined masks, no re-scoring."""

_base_ = ["./yolact_r50_dcn_voc.py"]
model = dict(structured_teacher=None, teacher_network=None, mask_head=dict(rescoring=None))
custom_hooks = [
    dict(type="NumClassCheckHook"),
    dict(type="CheckInvalidLossHook", interval=50),
]
