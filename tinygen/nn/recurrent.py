"""Recurrent layers: a state h that each step of a sequence moves on.

All of them take sequences (N, T, in_features) to the states after each step, (N, T, features), or one step at a time: `start(n)` is the
state before the first step, `step(x, state)` the one after the next. A state is a tuple of Tensors (N, features) that begins with h.
The gates lie side by side: what the inputs of all steps add to all gates is one product, what the state adds is one for each step.
"""

from typing import ClassVar

import numpy

from tinygen import functional as F
from tinygen.nn import init
from tinygen.nn.layers import expect_sequences, weight_of
from tinygen.nn.module import Module
from tinygen.tensor import Tensor

State = tuple[Tensor, ...]


class Recurrent(Module):
    """What the recurrent layers share. Each has so many `gates` and `states`, and moves a state on by `cell`.

    weight (in_features, gates features) starts as Glorot's, and state_weight (features, gates features) as one orthogonal matrix for each
    gate, which keeps the lengths of states and gradients (Saxe et al., 2014).
    """

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1

    def __init__(self, in_features: int, features: int) -> None:
        self.weight = weight_of(in_features, self.gates * features)
        squares = [init.orthogonal((features, features)) for _ in range(self.gates)]
        self.state_weight = Tensor(numpy.concatenate(squares, axis=1), requires_grad=True)
        self.bias = F.zeros((self.gates * features,), requires_grad=True)
        self.in_features, self.features = in_features, features

    def start(self, n: int) -> State:
        """The state before the first step of n sequences: zeros."""
        return tuple(F.zeros((n, self.features), self.weight.dtype, self.weight.device) for _ in range(self.states))

    def step(self, x: Tensor, state: State) -> State:
        """The state after one more step, x (N, in_features)."""
        return self.cell(F.dense(x, self.weight, self.bias), state)

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """h after each step of x, from a given state or from `start`."""
        expect_sequences(x, self.in_features)
        state = self.start(len(x)) if state is None else state
        outputs = []
        for inputs in _unstacked(F.dense(x.transpose(1, 0, 2), self.weight, self.bias)):
            state = self.cell(inputs, state)
            outputs.append(state[0])
        return F.stack(outputs, axis=1)

    def cell(self, inputs: Tensor, state: State) -> State:
        """The next state, given what the input and the bias add to the gates (N, gates features)."""
        raise NotImplementedError(f"{type(self).__name__} has no cell")

    def describe(self) -> str:
        return f"{type(self).__name__}({self.in_features} -> {self.features})"


def _unstacked(x: Tensor) -> list[Tensor]:
    """x[0], x[1], ..., by halves: each gradient is scattered into the size of its half, and not of x."""
    if len(x) == 1:
        return [x[0]]
    half = len(x) // 2
    return _unstacked(x[:half]) + _unstacked(x[half:])


class RNN(Recurrent):
    """h' = tanh(x W + b + h U) (Elman, 1990)."""

    def cell(self, inputs: Tensor, state: State) -> State:
        (h,) = state
        return (F.tanh(inputs + h @ self.state_weight),)


class GRU(Recurrent):
    """h' = z h + (1 - z) n: the gated recurrent unit (Cho et al., 2014), its reset gate r applied after the product, as cuDNN does.

        z = s(x W_z + b_z + h U_z),    r = s(x W_r + b_r + h U_r),    n = tanh(x W_n + b_n + r (h U_n))

    with s the sigmoid; the gates lie in this order. It is ONNX's GRU with linear_before_reset = 1 and no bias beside h U_n.
    """

    gates = 3

    def cell(self, inputs: Tensor, state: State) -> State:
        (h,) = state
        n = self.features
        product = h @ self.state_weight
        gates = F.sigmoid(inputs[:, : 2 * n] + product[:, : 2 * n])
        z, r = gates[:, :n], gates[:, n:]
        new = F.tanh(inputs[:, 2 * n :] + r * product[:, 2 * n :])
        return (new + z * (h - new),)


class LSTM(Recurrent):
    """h' = o tanh(c'), c' = f c + i tanh(x W_c + b_c + h U_c): long short-term memory (Hochreiter & Schmidhuber, 1997; Gers et al., 2000).

    Input, output and forget gate i, o, f = s(x W + b + h U), s the sigmoid; the gates lie in the order i, o, f, c, which is ONNX's. The
    state is (h, c). The forget gate's bias starts at 1, so that at first c lasts (Jozefowicz et al., 2015).
    """

    gates, states = 4, 2

    def __init__(self, in_features: int, features: int) -> None:
        super().__init__(in_features, features)
        self.bias.data[2 * features : 3 * features] = 1

    def cell(self, inputs: Tensor, state: State) -> State:
        h, c = state
        n = self.features
        sums = inputs + h @ self.state_weight
        gates, new = F.sigmoid(sums[:, : 3 * n]), F.tanh(sums[:, 3 * n :])
        i, o, f = gates[:, :n], gates[:, n : 2 * n], gates[:, 2 * n :]
        c = f * c + i * new
        return o * F.tanh(c), c
