"""What somebody tries, the kind of error that answers, and its sentence."""

from collections.abc import Callable
from typing import Any

import pytest

Refusal = tuple[Callable[[], Any], type[Exception], str]


def expect(refusal: Refusal) -> None:
    ask, kind, message = refusal
    with pytest.raises(kind) as caught:
        ask()
    assert str(caught.value) == message
