"""Animals with multiple-instance learning and the consistency loss."""

_base_ = ["./animals_solov2_lite0.py"]
model = dict(structured_teacher=dict(cross_image=None))
