"""What saved states share: the check that a state fits its owner."""

from collections.abc import Mapping
from typing import Any


def check_state(own: Mapping[str, Any], state: Mapping[str, Any], owner: str) -> None:
    """Raise ValueError unless the arrays of a saved state have the names, shapes and dtypes of the owner's."""
    problems = []
    if missing := [name for name in own if name not in state]:
        problems.append(f"missing {', '.join(missing)}")
    if unexpected := [name for name in state if name not in own]:
        problems.append(f"unexpected {', '.join(unexpected)}")
    for name, mine in own.items():
        if name in state and not hasattr(state[name], "dtype"):
            problems.append(f"{name} is a {type(state[name]).__name__}, not an array")
        elif name in state and (state[name].shape != mine.shape or state[name].dtype != mine.dtype):
            problems.append(f"{name} is {state[name].dtype} {state[name].shape} instead of {mine.dtype} {mine.shape}")
    if problems:
        raise ValueError(f"this state does not fit {owner}: {'; '.join(problems)}")
