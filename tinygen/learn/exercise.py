"""An exercise: a function to be written, and how a learner's is judged.

The learner's function is called on cases, as the solution is. Where the results differ, they are
compared with those of ideas that are often tried instead. So a check can say "you forgot g" and not
only that numbers differ.
"""

import copy
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from tinygen.engine.tensor import Tensor

Cases = Callable[[numpy.random.Generator], Sequence[tuple[Any, ...]]]


def called(function: Callable[..., Any], *case: Any) -> Any:
    """The function's result."""
    return function(*case)


@dataclass(frozen=True)
class Exercise:
    """What is to be written under `name`, and what is known of it.

    `cases(rng)` gives the tuples of arguments on which it is tried; rng is seeded. `apply(function,
    *case)` gives the result that is compared, for what is not simply called. A string in the place of
    another result says why there is none; a dict names several results. `ideas` maps a sentence about a
    wrong idea, in the second person, to a function that has it. `right` are other right solutions, and
    `hints` three steps towards one. `also(function)` returns a sentence if something is wrong that no
    case shows, such as a loop that calls too often. `uses` names the lesson's exercises that this one
    may call.
    """

    name: str
    solution: Callable[..., Any]
    cases: Cases
    ideas: Mapping[str, Callable[..., Any]]
    right: Sequence[Callable[..., Any]] = ()
    hints: Sequence[str] = ()
    apply: Callable[..., Any] = called
    also: Callable[[Any], str | None] | None = None
    tolerance: float = 1e-9
    uses: Sequence[str] = field(default=(), kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def judge(self, function: Any) -> str | None:
        """What is wrong with the function, in a sentence or two; None if it is right."""
        if function is None:
            return f"{self.name} is not in the file"
        found, error = self._tried(function, self._cases())
        if isinstance(error, NotImplementedError):
            return f"{self.name} is still to be written"
        expected = [self.apply(self.solution, *case) for case in self._cases()[: len(found)]]
        wrong = [i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if not same(a, b, self.tolerance)]
        if not wrong and not error:
            return self.also(function) if self.also else None
        if idea := self._idea(found, error, bool(wrong)):
            return idea
        if error:
            return f"{self.name}{_short(self._cases()[len(found)])} raises {told(error, getattr(function, '__module__', ''))}"
        return self._difference(self._cases()[wrong[0]], found[wrong[0]], expected[wrong[0]])

    def _tried(self, function: Any, cases: Sequence[tuple[Any, ...]]) -> tuple[list[Any], Exception | None]:
        """The results up to the first case in which the function fails, and how it fails."""
        found: list[Any] = []
        try:
            for case in cases:
                found.append(self.apply(function, *case))
        except Exception as error:
            return found, error
        return found, None

    def _cases(self) -> list[tuple[Any, ...]]:
        """The cases anew, since a function may have changed its arguments."""
        return copy.deepcopy(list(self.cases(numpy.random.default_rng(self.seed))))

    def _idea(self, found: Sequence[Any], error: Exception | None, wrong: bool) -> str | None:
        """The sentence of the idea that has these results and fails in the same way, or that has these results if one is wrong."""
        first = None
        for sentence, idea in self.ideas.items():
            results, failed = self._tried(idea, self._cases()[: len(found) + (error is not None)])
            if len(results) < len(found) or not all(same(a, b, self.tolerance) for a, b in zip(found, results, strict=False)):
                continue
            if repr(failed) == repr(error):
                return sentence
            first = first or sentence
        return first if wrong else None

    def _difference(self, case: tuple[Any, ...], found: Any, expected: Any, result: str = "") -> str:
        """What differs. `result` says which of several results found and expected are."""
        if found is None and not result:
            return f"{self.name} returns None: is a return missing?"
        if isinstance(found, str) and not isinstance(expected, str):
            return f"{self.name}{_short(case)}: {found}"
        if isinstance(found, Mapping) and isinstance(expected, Mapping) and found.keys() == expected.keys():
            name = next(name for name in expected if not same(found[name], expected[name], self.tolerance))
            return self._difference(case, found[name], expected[name], f"{name} of ")
        several = all(isinstance(value, tuple | list) for value in (found, expected)) and len(found) == len(expected)
        if several and any(hasattr(part, "shape") or isinstance(part, tuple | list) for part in expected):
            pairs = enumerate(zip(found, expected, strict=True), 1)
            number, (a, b) = next((n, pair) for n, pair in pairs if not same(*pair, self.tolerance))
            return self._difference(case, a, b, f"part {number} of {result}" if result else f"result {number} of ")
        missing = ": is a return missing?" if found is None and self.apply is not called else ""
        a, b = (
            numpy.asarray(_plain(value), dtype=object if isinstance(value, str | tuple | list) else None) for value in (found, expected)
        )
        if a.shape != b.shape and found is not None and expected is not None:
            return f"{result}{self.name}{_short(case)} should have the shape {b.shape}, and has {a.shape}"
        if a.dtype.kind in "fi" and same(-a, b, self.tolerance):
            return f"{result or 'the result of '}{self.name} has the wrong sign"
        if b.size > 8 and a.dtype.kind in "biuf" and b.dtype.kind in "fi":
            place = numpy.unravel_index(numpy.argmax(abs(a - b)), b.shape)
            at = f"[{', '.join(map(str, place))}]"
            return f"{result}{self.name}{_short(case)} should have {b[place]:.4g} at {at}, and has {a[place]:.4g}"
        return f"{result}{self.name}{_short(case)} should be {_text(expected)}, and is {_text(found)}{missing}"


def told(error: Exception, module: str) -> str:
    """An error, and the last line of this module that it came through: the learner's, and not one of NumPy's."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} (line {error.lineno}: {(error.text or '').strip()})"
    walked = zip(traceback.walk_tb(error.__traceback__), traceback.extract_tb(error.__traceback__), strict=True)
    own = [line for (frame, _), line in walked if frame.f_globals.get("__name__") == module]
    return f"{type(error).__name__}: {error}" + (f" (line {own[-1].lineno}: {own[-1].line})" if own else "")


def same(a: Any, b: Any, tolerance: float) -> bool:
    """Whether two results agree: numbers and arrays to the tolerance, relative to the largest; all else, and infinity, exactly."""
    a, b = _plain(a), _plain(b)
    if isinstance(b, Mapping):
        return isinstance(a, Mapping) and a.keys() == b.keys() and all(same(a[name], b[name], tolerance) for name in b)
    if isinstance(b, tuple | list):
        return isinstance(a, tuple | list) and len(a) == len(b) and all(same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(b, str | None):
        return type(a) is type(b) and a == b
    try:
        found, expected = numpy.asarray(a), numpy.asarray(b)
        if found.shape != expected.shape or found.dtype.kind not in "biuf":
            return False
        finite = numpy.isfinite(found) & numpy.isfinite(expected)
        room = tolerance * max(1e-30, abs(expected[finite]).max(initial=0.0))
        return bool((abs(found[finite] - expected[finite]) <= room).all() and (found == expected)[~finite].all())
    except (TypeError, ValueError):
        return False


def _plain(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) else value


def _text(value: Any) -> str:
    value = _plain(value)
    return " ".join(numpy.array2string(numpy.asarray(value), precision=4).split()) if hasattr(value, "shape") else repr(value)


def _short(case: tuple[Any, ...]) -> str:
    """The arguments in a line: large arrays by their shapes."""

    def told(value: Any) -> str:
        value = _plain(value)
        if callable(value):
            return "f"
        if getattr(value, "size", 0) > 8:
            return f"<{'x'.join(map(str, value.shape))}>"
        return _text(value)

    return f"({', '.join(map(told, case))})"
