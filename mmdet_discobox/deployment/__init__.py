"""Networks outside of PyTorch: export to ONNX, and prediction with ONNX Runtime."""

from .onnx_detector import OnnxDetector
from .onnx_export import export_onnx
from .onnx_labeler import OnnxLabeler

__all__ = ["OnnxDetector", "OnnxLabeler", "export_onnx"]
