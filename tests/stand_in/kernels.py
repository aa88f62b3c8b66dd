"""Kernels for the stand-in's arrays that are as fast as the CPU's, since they are the CPU's: for tests of what is above the kernels."""

import inspect
import types
from collections.abc import Callable
from typing import Any

from tinygen_kernels import Kernels, cpu

from tests.stand_in.array import unwrap, wrap
from tests.stand_in.capture import do
from tests.stand_in.device import expect_current


def cpu_kernels() -> types.SimpleNamespace:
    """A module that keeps the contract of the kernels."""
    names = [name for name, value in vars(Kernels).items() if inspect.isfunction(value) and not name.startswith("_")]
    return types.SimpleNamespace(**{name: _on_the_stand_in(getattr(cpu, name)) for name in names})


def _on_the_stand_in(kernel: Callable[..., Any]) -> Callable[..., Any]:
    def on_the_stand_in(*arguments: Any) -> Any:
        expect_current(*arguments)
        return wrap(do(lambda: kernel(*map(unwrap, arguments))), *arguments)

    return on_the_stand_in
