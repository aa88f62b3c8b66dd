"""How a model leaves tinygen and comes in: ONNX graphs and PyTorch's weights."""

from tinygen.interchange.onnx import onnx_graph, to_onnx
from tinygen.interchange.torch import from_torch, to_torch
from tinygen.interchange.torch_source import torch_source
