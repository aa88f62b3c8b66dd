"""Are a module's gradients right, to its inputs and to its parameters?"""

import copy
from collections.abc import Mapping
from typing import Any

from tinygen.backend import Array, keeping_random_state, random_state, set_random_state
from tinygen.engine.tensor import Tensor
from tinygen.functional import concatenate
from tinygen.nn.module import Module
from tinygen.testing.gradcheck import check


def gradcheck_module(module: Module, *inputs: Tensor | Array, order: int = 1, seed: int = 0, tolerance: float = 1e-6) -> None:
    """`gradcheck` of a layer or model: of its gradients to its inputs and to all parameters that are not frozen.

    A float64 copy of the module is checked, in the mode that the module is in; the module stays as it
    is. Every call of the copy starts from the same buffers and the same random numbers, so dropout and
    spectral normalisation can be checked, too. Inputs of a floating dtype are converted to float64 and
    differentiated, others, such as labels, are passed on. Where the module returns several tensors, all
    of them count.

    Raises AssertionError as `gradcheck` does; the message names the parameter.
    """
    __tracebackhide__ = True
    double = copy.deepcopy(module).double()
    names = {id(t): name for name, t in reversed(list(double.named_parameters()))}
    parameters = [t for t in double.parameters() if t.requires_grad]
    buffers = [(t, t.data.copy()) for _, t in double.named_buffers()]
    arguments = [x if isinstance(x, Tensor) else Tensor(x) for x in inputs]
    smooth = [i for i, x in enumerate(arguments) if x.dtype.kind == "f"]
    leaves = [Tensor(arguments[i].data.astype("float64"), requires_grad=True) for i in smooth] + parameters
    state = random_state()

    def applied(*leaves: Tensor) -> Tensor:
        set_random_state(state)
        for buffer, data in buffers:
            buffer.data = data.copy()
        given = dict(zip(smooth, leaves, strict=False))
        _replace(double, dict(zip(map(id, current), leaves[len(smooth) :], strict=True)))
        current[:] = leaves[len(smooth) :]
        y = double(*(given.get(i, x) for i, x in enumerate(arguments)))
        return y if isinstance(y, Tensor) else concatenate([part.reshape(-1) for part in y])

    current = list(parameters)
    applied.__name__ = module.describe()
    with keeping_random_state():
        check(applied, leaves, [f"input {i}" for i in smooth] + [names[id(t)] for t in parameters], order, seed, tolerance)


def _replace(module: Module, tensors: Mapping[int, Tensor]) -> None:
    """Put each tensor in the place of the one that has its id, past `__setattr__`, which takes Parameters alone."""

    def replaced(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(map(replaced, value))
        if isinstance(value, dict):
            return {key: replaced(part) for key, part in value.items()}
        return tensors.get(id(value), value)

    for part in list(module.modules()):
        vars(part).update({name: replaced(value) for name, value in vars(part).items()})
