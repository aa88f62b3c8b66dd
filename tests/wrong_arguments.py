"""Values of wrong types, and what is asked of whoever is given one."""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy

import tinygen as tg
from tinygen import nn

ARRAY = numpy.ones((2, 3), "float32")
WRONG: list[Any] = [
    *((2, 1), [1.5, "a"], {"a": 1}, None, "text", 1.5, len, nn.ReLU()),
    *(ARRAY, numpy.array([True, False]), numpy.float32(0.5), tg.tensor(ARRAY), tg.tensor(0.5)),
]
FOREIGN = re.compile(
    "has no attribute|object is not|cannot be interpreted|not supported|unsupported|has no len|'NoneType'|ufunc|must be real number|"
    "unhashable|takes no arguments|unpack|not iterable|not subscriptable|could not convert|__array|index out of range|^axis"
)


def try_each(function: Callable[..., Any], arguments: Sequence[Any], options: dict[str, Any]) -> None:
    """Call the function with each wrong value in the place of each argument in turn.

    It raises TypeError, ValueError or IndexError in words of tinygen's, or returns a result.
    """
    places = [*range(len(arguments)), *options]
    for place, wrong in itertools.product(places, WRONG):
        given = [wrong if i == place else value for i, value in enumerate(arguments)]
        named = {key: wrong if key == place else value for key, value in options.items()}
        try:
            function(*given, **named)
        except (TypeError, ValueError, IndexError) as error:
            assert not FOREIGN.search(str(error)), error
