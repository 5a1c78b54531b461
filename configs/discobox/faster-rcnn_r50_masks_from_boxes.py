"""mmdet's Faster R-CNN, trained on boxes, with masks for its boxes at test time."""

_base_ = ["mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"]
custom_imports = dict(imports=["mmdet_discobox"], allow_failed_imports=False)
model = dict(_delete_=True, type="MasksFromBoxes", detector=_base_.model)
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator
