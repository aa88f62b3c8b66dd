"""Arguments of wrong types, explained by the signature of the function that they were given to.

They are looked at after a call has failed, so a call that works pays for one `try`. That is why
the annotations of public functions are complete: the message is made of them.
"""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy

from tinygen.command_line import UsageError
from tinygen.engine import errors
from tinygen.engine.tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])
_WORDS = {
    bool: "True or False",
    int: "an integer",
    float: "a number",
    str: "a string",
    types.NoneType: "None",
    numpy.ndarray: "an array",
    Mapping: "a dict",
    Callable: "a function",
    Tensor: "a Tensor",
}
_KINDS = {int: int | numpy.integer, float: int | float | numpy.number, bool: bool | numpy.bool_}


def checked(function: F) -> F:
    """The function, with a TypeError that names the argument where a call fails by a wrong type."""

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except UsageError:  # which says enough itself
            raise
        except Exception as error:
            expect_types(function, function.__qualname__.removesuffix(".__init__"), arguments, options, error)
            raise

    return typing.cast(F, call)


def expect_types(function: Callable[..., Any], name: str, arguments: Sequence[Any], options: dict[str, Any], error: Exception) -> None:
    """Raise TypeError, from the error, where an argument does not fit its annotation."""
    try:
        given = inspect.signature(function).bind(*arguments, **options).arguments
    except TypeError as wrong:  # arguments that are missing, too many, or of an unknown name
        takes = ", ".join(inspect.signature(function).parameters)
        raise TypeError(f"{name}: {wrong}; it takes ({takes})") from error
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # annotations that only the type checker can resolve
        return
    parameters = inspect.signature(function).parameters
    for key, value in given.items():
        hint = hints.get(key, Any)
        several = parameters[key].kind is inspect.Parameter.VAR_POSITIONAL
        for part in value if several else [value]:
            if not _fits(part, hint):
                raise _wrong_type(name, key, hint, part) from error


def _wrong_type(name: str, key: str, hint: Any, value: Any) -> TypeError:
    tensors = Tensor in (hint, *typing.get_args(hint))
    if tensors and hasattr(value, "shape") and (within := errors.array_within_a_function(name, value)):
        return within
    data = isinstance(value, int | float | list | tuple) or hasattr(value, "dtype")
    cure = "; make one with tinygen.tensor(...)" if tensors and data else ""
    if isinstance(value, Tensor) and typing.get_origin(hint) is Sequence:
        cure = "; put it in a list"
    if typing.get_origin(hint) is Mapping and hasattr(value, "state_dict"):
        cure = "; pass its state_dict()"
    return TypeError(f"{name}: {key} must be {_words(hint)}, got {shown(value)}{cure}")


def shown(value: Any) -> str:
    """A value in an error message: its type, and as much of it as fits in a sentence."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{'a Tensor' if isinstance(value, Tensor) else 'an array'} {value.dtype} {value.shape}"
    if value is None or isinstance(value, type):
        return "None" if value is None else f"the class {value.__name__}"
    text = " ".join(repr(value).split())
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return True
    if hint is numpy.ndarray:  # or an array of CuPy's, or the scalar that one of shape () turns into
        return hasattr(value, "dtype") and not isinstance(value, Tensor)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is tuple and Ellipsis not in parts:
        return isinstance(value, tuple | list) and len(value) == len(parts) and all(map(_fits, value, parts))
    if origin in (tuple, list, Sequence):
        return isinstance(value, tuple | list | range) and all(_fits(part, parts[0]) for part in value)
    if origin is not None:
        return isinstance(value, origin)
    return isinstance(value, _KINDS.get(hint, hint))


def _words(hint: Any) -> str:
    """An annotation in words."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        *first, last = dict.fromkeys(_words(part) for part in parts)
        return f"{', '.join(first)} or {last}" if first else last
    if origin is tuple and Ellipsis not in parts:
        return f"({', '.join(_words(part) for part in parts)})"
    if origin in (tuple, list, Sequence):
        return f"a {'tuple' if origin is tuple else 'list'} of {_plural(_words(parts[0]))}"
    kind = origin or hint
    return _WORDS.get(kind) or f"a {kind.__name__}"


def _plural(words: str) -> str:
    """ "an integer" -> "integers"; what is longer keeps its article."""
    article, _, noun = words.partition(" ")
    return f"{noun}s" if article in ("a", "an") and " " not in noun else words
