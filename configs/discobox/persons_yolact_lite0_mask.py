"""The mask-supervised upper bound: YOLACT++, the same network, data and budget."""

_base_ = ["./persons_solov2_lite0_mask.py", "./_base_/yolact_lite0.py"]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
model = dict(_delete_=True, **_base_.yolact_lite0_model)
