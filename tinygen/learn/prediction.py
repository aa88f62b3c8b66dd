"""What a lesson prints where it is run: predictions, which it asks for before it computes, and what it shows."""

import ast
import contextlib
import inspect
import io
import operator
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

from tinygen.learn.exercise import same, told

PREDICTED = ".predicted"  # beside the lesson: a line for each question that was answered right
WRONG = "_wrong"  # among the names of a lesson's file: the functions that `check` found wrong, by their names
OPERATIONS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def number(said: str) -> float:
    """The number that is meant by 1,000,000 or 10^-5 or 4*4*3. Raises ValueError if it is not a number."""
    text = said.strip().replace("^", "**")
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", text):
        text = text.replace(",", "")
    try:
        return float(_value(ast.parse(text, mode="eval").body))
    except (SyntaxError, KeyError, TypeError, ArithmeticError) as error:
        raise ValueError(f"{said} is not a number") from error


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)  # so that a power overflows, and does not fill the memory
        case ast.UnaryOp(op=op, operand=operand):
            return OPERATIONS[type(op)](_value(operand))
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATIONS[type(op)](_value(left), _value(right))
    raise TypeError


def agrees(said: str, value: Any, tolerance: float) -> bool:
    """Whether somebody's answer means this value.

    A number may differ by the tolerance. A list counts by its numbers, and yes or no (y or n) by the
    first word.
    """
    try:
        return same(number(said), float(value), tolerance)
    except (TypeError, ValueError):
        short = {"y": "yes", "n": "no"}
        given, wanted = ([short.get(word, word) for word in re.findall(r"[a-z]+|-?[\d.]+", str(text).lower())] for text in (said, value))
        return (given[:1] if len(wanted) == 1 else given) == wanted


def used(function: Callable[..., Any], names: Mapping[str, Any]) -> set[str]:
    """The names that a function reads, and those that the file's functions behind them read. `names` are the file's."""
    found: set[str] = set()
    objects: list[Any] = [function]
    while objects:
        value = inspect.unwrap(objects.pop())
        code = value if isinstance(value, CodeType) else value.__code__ if getattr(value, "__globals__", None) is names else None
        if code:
            read = [names[name] for name in {*code.co_names} - found if name in names]
            found.update(code.co_names)
            objects += [part for part in code.co_consts if isinstance(part, CodeType)]  # lambdas and inner functions
            objects += [part for each in read for part in (vars(each).values() if isinstance(each, type) else [each])]
    return found


def predict(question: str, answer: Callable[[], Any], tolerance: float = 0.05) -> None:
    """Ask for a prediction, and say whether it was right and what was computed.

    Without a terminal only the answer is printed. A question is not asked if it was answered right
    before, or if it needs a function which is still to be written, or which `check` found wrong.
    """
    names = sys._getframe(1).f_globals
    if names.get("__name__") != "__main__":  # a lesson that is judged, and not run
        return
    print(question)
    needed = used(answer, names)
    if wrong := [name for name, function in names.get(WRONG, {}).items() if name in needed and names.get(name) is function]:
        print(f"    not asked yet: first {wrong[0]} must be right")
        return
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            value = answer()
    except NotImplementedError:
        print("    not asked yet: a function that it needs is still to be written")
        return
    file = Path(names.get("__file__", ""))
    kept, key = file.with_name(PREDICTED) if file.name else None, f"{file.name} {question}"
    if not sys.stdin or not (sys.stdin.isatty() or "ipykernel" in sys.modules):
        print(f"{printed.getvalue()}    computed: {value}")
    elif kept and kept.exists() and key in kept.read_text(encoding="utf-8").splitlines():
        print(f"{printed.getvalue()}    right before: {value}")
    else:
        said = input("    you say: ").strip()
        right = agrees(said, value, tolerance)
        print(f"{printed.getvalue()}    {'right' if right else 'not this'}: computed {value}, you said {said or 'nothing'}")
        if kept and right:
            with kept.open("a", encoding="utf-8") as lines:
                lines.write(key + "\n")


def show(title: str, drawn: Callable[[], Any]) -> None:
    """Print a title and what drawn() returns. The lesson goes on where that needs a function that is still to be written, or fails.

    Of an error one line is told, since `check` says what is wrong with the function.
    """
    if sys._getframe(1).f_globals.get("__name__") != "__main__":
        return
    try:
        text = str(drawn())
    except NotImplementedError:
        text = "still to be written"
    except Exception as error:
        text = f"raises {told(error, '__main__')}"
    print(title, text, sep="\n" if "\n" in text else " ")
