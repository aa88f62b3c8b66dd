"""The recurrent modules and attention, whose batches come first."""

from typing import Any

import numpy

from torch_by_hand.layers import Linear
from torch_by_hand.module import Module
from torch_by_hand.tensor import as_tensor, sigmoid, softmax, zeros


class Recurrent(Module):
    gates = 1

    def __init__(self, inputs: int, features: int, batch_first: bool = False) -> None:
        assert batch_first
        self.weight_ih_l0, self.weight_hh_l0 = zeros(self.gates * features, inputs), zeros(self.gates * features, features)
        self.bias_ih_l0, self.bias_hh_l0 = zeros(self.gates * features), zeros(self.gates * features)

    def forward(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        assert state is None
        h = c = zeros(len(x), self.weight_hh_l0.shape[1])
        states = []
        for t in range(x.shape[1]):
            of_x, of_h = x[:, t] @ self.weight_ih_l0.T + self.bias_ih_l0, h @ self.weight_hh_l0.T + self.bias_hh_l0
            h, c = self.cell(numpy.split(of_x, self.gates, axis=1), numpy.split(of_h, self.gates, axis=1), h, c)
            states.append(h)
        return as_tensor(numpy.stack(states, axis=1)), h

    def cell(self, x: Any, h: Any, before: Any, c: Any) -> Any:
        raise NotImplementedError


class RNN(Recurrent):
    def cell(self, x: Any, h: Any, before: Any, c: Any) -> Any:
        return numpy.tanh(x[0] + h[0]), c


class GRU(Recurrent):
    gates = 3

    def cell(self, x: Any, h: Any, before: Any, c: Any) -> Any:
        r, z = sigmoid(x[0] + h[0]), sigmoid(x[1] + h[1])
        return (1 - z) * numpy.tanh(x[2] + r * h[2]) + z * before, c


class LSTM(Recurrent):
    gates = 4

    def cell(self, x: Any, h: Any, before: Any, c: Any) -> Any:
        i, f, g, o = (a + b for a, b in zip(x, h, strict=True))
        c = sigmoid(f) * c + sigmoid(i) * numpy.tanh(g)
        return sigmoid(o) * numpy.tanh(c), c


class MultiheadAttention(Module):
    def __init__(self, features: int, heads: int, batch_first: bool = False) -> None:
        assert batch_first
        self.in_proj_weight, self.in_proj_bias = zeros(3 * features, features), zeros(3 * features)
        self.out_proj, self.heads = Linear(features, features), heads

    def forward(self, query: Any, key: Any, value: Any, need_weights: bool = True, attn_mask: Any = 0.0) -> tuple[Any, None]:
        assert query is key is value
        n, steps, features = query.shape
        projected = (query @ self.in_proj_weight.T + self.in_proj_bias).reshape(n, steps, 3, self.heads, -1)
        q, k, v = (projected[:, :, i].swapaxes(1, 2) for i in range(3))
        heads = softmax(q @ k.swapaxes(2, 3) / numpy.sqrt(features / self.heads) + attn_mask, -1) @ v
        return self.out_proj(heads.swapaxes(1, 2).reshape(n, steps, features)), None


class Transformer:
    @staticmethod
    def generate_square_subsequent_mask(steps: int, device: Any) -> Any:
        return numpy.where(numpy.tri(steps, dtype=bool), 0.0, -numpy.inf).astype(numpy.float32)
