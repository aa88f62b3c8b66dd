"""Recurrent sequences. All steps are one node, whose backward is backpropagation through time.

Each step computes its gates from x[t], the part that depends on the input, plus h @ weight, the part
that depends on the state before it. The gates are concatenated along the last axis. Because all steps
form one node, no graph is recorded per step, and the gradient to the weight is a single product:

    g_weight = sum over t of h_(t-1).T @ g_sums_t = [h_0; h_1; ...].T @ [g_sums_1; g_sums_2; ...]
"""

from dataclasses import dataclass, field

from tinygen_kernels import for_array

from tinygen.backend import Array, array_module
from tinygen.engine.fused import Fused
from tinygen.engine.tensor import Tensor
from tinygen.functional.activation import SigmoidFunction, sigmoid, tanh
from tinygen.functional.linalg import matmul
from tinygen.functional.shape import concatenate, stack

State = tuple[Tensor, ...]

_sigmoid = SigmoidFunction().forward


class Recurrence(Fused):
    """x (T, N, gates features) -> the parts of the state after each step (T, N, states features)."""

    __slots__ = ()

    def cell(self, x: Tensor, weight: Tensor, *state: Tensor) -> State:
        """What one step means: x (N, gates features)."""
        raise NotImplementedError(f"{type(self).__name__} has no cell")

    def composite(self, x: Tensor, weight: Tensor, *state: Tensor) -> Tensor:
        states = []
        for t in range(len(x)):
            state = self.cell(x[t], weight, *state)
            states.append(concatenate(state, axis=1))
        return stack(states)


class RNNFunction(Recurrence):
    __slots__ = ()

    def cell(self, x: Tensor, weight: Tensor, *state: Tensor) -> State:
        return (tanh(x + matmul(state[0], weight)),)

    def forward(self, x: Array, weight: Array, h: Array) -> Array:
        xp, kernels = array_module(x), for_array(x, weight, h)
        y = xp.empty(x.shape, x.dtype)
        for t in range(len(x)):
            h = y[t] = xp.tanh(x[t] + kernels.matmul(h, weight))
        return y

    def kernel_backward(self, g: Array, y: Array, x: Array, weight: Array, h: Array) -> tuple[Array, ...]:
        xp, kernels, transposed = array_module(x), for_array(x, weight, h), _transposed(weight)
        g_sums, g_h = xp.empty(x.shape, x.dtype), xp.zeros_like(h)
        for t in reversed(range(len(x))):
            g_sums[t] = (g_h + g[t]) * (1 - y[t] ** 2)
            g_h = kernels.matmul(g_sums[t], transposed)
        return g_sums, _weight_gradient(h, y, g_sums), g_h


@dataclass(slots=True, eq=False)
class GRUFunction(Recurrence):
    gates: Array = field(init=False, repr=False)  # z, r and n of each step
    products: Array = field(init=False, repr=False)  # h U_n

    def cell(self, x: Tensor, weight: Tensor, *state: Tensor) -> State:
        (h,) = state
        n = h.shape[1]
        product = matmul(h, weight)
        gates = sigmoid(x[:, : 2 * n] + product[:, : 2 * n])
        z, r = gates[:, :n], gates[:, n:]
        new = tanh(x[:, 2 * n :] + r * product[:, 2 * n :])
        return (new + z * (h - new),)

    def forward(self, x: Array, weight: Array, h: Array) -> Array:
        xp, kernels, n = array_module(x), for_array(x, weight, h), h.shape[1]
        y = xp.empty((len(x), *h.shape), x.dtype)
        self.gates, self.products = xp.empty(x.shape, x.dtype), xp.empty(y.shape, x.dtype)
        for t in range(len(x)):
            product, gates = kernels.matmul(h, weight), self.gates[t]
            self.products[t] = product[:, 2 * n :]
            gates[:, : 2 * n] = _sigmoid(x[t, :, : 2 * n] + product[:, : 2 * n])
            z, r, new = _side_by_side(gates, n)
            new[...] = xp.tanh(x[t, :, 2 * n :] + r * self.products[t])
            h = y[t] = new + z * (h - new)
        return y

    def kernel_backward(self, g: Array, y: Array, x: Array, weight: Array, h: Array) -> tuple[Array, ...]:
        xp, kernels, transposed, n = array_module(x), for_array(x, weight, h), _transposed(weight), h.shape[1]
        g_x, g_products, g_h = xp.empty(x.shape, x.dtype), xp.empty(x.shape, x.dtype), xp.zeros_like(h)
        for t in reversed(range(len(x))):
            z, r, new = _side_by_side(self.gates[t], n)
            g_h = g_h + g[t]
            g_new = g_h * (1 - z) * (1 - new**2)
            g_z = g_h * ((y[t - 1] if t else h) - new) * z * (1 - z)
            g_r = g_new * self.products[t] * r * (1 - r)
            g_x[t] = xp.concatenate([g_z, g_r, g_new], axis=1)
            g_products[t] = xp.concatenate([g_z, g_r, g_new * r], axis=1)
            g_h = g_h * z + kernels.matmul(g_products[t], transposed)
        return g_x, _weight_gradient(h, y, g_products), g_h


@dataclass(slots=True, eq=False)
class LSTMFunction(Recurrence):
    gates: Array = field(init=False, repr=False)  # i, o, f and the new part of c, of each step
    outputs: Array = field(init=False, repr=False)  # tanh(c)

    def cell(self, x: Tensor, weight: Tensor, *state: Tensor) -> State:
        h, c = state
        n = h.shape[1]
        sums = x + matmul(h, weight)
        gates, new = sigmoid(sums[:, : 3 * n]), tanh(sums[:, 3 * n :])
        i, o, f = gates[:, :n], gates[:, n : 2 * n], gates[:, 2 * n :]
        c = f * c + i * new
        return o * tanh(c), c

    def forward(self, x: Array, weight: Array, h: Array, c: Array) -> Array:
        xp, kernels, n = array_module(x), for_array(x, weight, h, c), h.shape[1]
        y = xp.empty((*x.shape[:2], 2 * n), x.dtype)
        self.gates, self.outputs = xp.empty(x.shape, x.dtype), xp.empty((len(x), *h.shape), x.dtype)
        for t in range(len(x)):
            sums, gates = x[t] + kernels.matmul(h, weight), self.gates[t]
            gates[:, : 3 * n], gates[:, 3 * n :] = _sigmoid(sums[:, : 3 * n]), xp.tanh(sums[:, 3 * n :])
            i, o, f, new = _side_by_side(gates, n)
            c = f * c + i * new
            self.outputs[t] = xp.tanh(c)
            h = o * self.outputs[t]
            y[t, :, :n], y[t, :, n:] = h, c
        return y

    def kernel_backward(self, g: Array, y: Array, x: Array, weight: Array, h: Array, c: Array) -> tuple[Array, ...]:
        xp, kernels, transposed, n = array_module(x), for_array(x, weight, h, c), _transposed(weight), h.shape[1]
        g_sums, g_h, g_c = xp.empty(x.shape, x.dtype), xp.zeros_like(h), xp.zeros_like(c)
        for t in reversed(range(len(x))):
            i, o, f, new = _side_by_side(self.gates[t], n)
            output = self.outputs[t]
            g_h = g_h + g[t, :, :n]
            g_c = g_c + g[t, :, n:] + g_h * o * (1 - output**2)
            g_i, g_o = g_c * new * i * (1 - i), g_h * output * o * (1 - o)
            g_f, g_new = g_c * (y[t - 1, :, n:] if t else c) * f * (1 - f), g_c * i * (1 - new**2)
            g_sums[t] = xp.concatenate([g_i, g_o, g_f, g_new], axis=1)
            g_h, g_c = kernels.matmul(g_sums[t], transposed), g_c * f
        return g_sums, _weight_gradient(h, y[..., :n], g_sums), g_h, g_c


def _side_by_side(gates: Array, n: int) -> list[Array]:
    """Views of the gates (N, gates features), each (N, features)."""
    return [gates[:, start : start + n] for start in range(0, gates.shape[1], n)]


def _transposed(weight: Array) -> Array:
    """weight.T as a contiguous array: copied once, and not in each step's product."""
    return array_module(weight).ascontiguousarray(weight.T)


def _weight_gradient(h: Array, states: Array, g_sums: Array) -> Array:
    before = array_module(h).concatenate([h[None], states[:-1]]).reshape(-1, h.shape[1])
    return for_array(before, g_sums).matmul(before.T, g_sums.reshape(-1, g_sums.shape[2]))


def rnn(x: Tensor, weight: Tensor, h: Tensor) -> Tensor:
    """h_t = tanh(x_t + h_(t-1) U) (Elman, 1990).

    x (T, N, features), weight U (features, features) and the state h (N, features) before the first
    step give the state after each step, (T, N, features). Raises ValueError for other shapes.
    """
    _check("rnn", x, weight, 1, h)
    return RNNFunction()(x, weight, h)


def gru(x: Tensor, weight: Tensor, h: Tensor) -> Tensor:
    """The gated recurrent unit (Cho et al., 2014): h_t = z h_(t-1) + (1 - z) n.

        z = s(x_z + h_(t-1) U_z),    r = s(x_r + h_(t-1) U_r),    n = tanh(x_n + r (h_(t-1) U_n))

    with s the sigmoid. The gates are in the order z, r, n. The reset gate r is applied after the
    product, as in cuDNN. x (T, N, 3 features), weight U (features, 3 features) and h (N, features)
    give (T, N, features). Raises ValueError for other shapes.
    """
    _check("gru", x, weight, 3, h)
    return GRUFunction()(x, weight, h)


def lstm(x: Tensor, weight: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Long short-term memory (Hochreiter & Schmidhuber, 1997).

        h_t = o tanh(c_t),    c_t = f c_(t-1) + i tanh(x_c + h_(t-1) U_c)

    The input, output and forget gates (Gers et al., 2000) are i, o, f = s(x + h_(t-1) U) with s the
    sigmoid. The gates are in the order i, o, f, c. x (T, N, 4 features), weight U (features,
    4 features), h and c (N, features) give h and c after each step, (T, N, features) each. Raises
    ValueError for other shapes.
    """
    _check("lstm", x, weight, 4, h, c)
    states = LSTMFunction()(x, weight, h, c)
    return states[..., : h.shape[1]], states[..., h.shape[1] :]


def _check(name: str, x: Tensor, weight: Tensor, gates: int, *state: Tensor) -> None:
    n = weight.shape[0] if weight.ndim else 0
    fits = x.ndim == 3 and len(x) and weight.shape == (n, gates * n) and all(part.shape == (x.shape[1], n) for part in state)
    if not fits or x.shape[2] != gates * n:
        shapes, wide = ", ".join(f"{part.shape}" for part in state), f"{gates} features" if gates > 1 else "features"
        raise ValueError(
            f"{name}: x {x.shape}, weight {weight.shape} and state {shapes} must be (T, N, {wide}) with at least one step, "
            f"(features, {wide}) and (N, features)"
        )
