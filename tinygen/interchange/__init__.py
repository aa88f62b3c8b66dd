"""How a model leaves tinygen and comes in: ONNX graphs and PyTorch's weights."""

from tinygen.interchange.onnx import to_onnx
