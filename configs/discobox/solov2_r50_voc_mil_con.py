"""Table 3, second row: multiple-instance learning and the consistency loss."""

_base_ = ["./solov2_r50_voc.py"]
