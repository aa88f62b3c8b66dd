"""How every program of tinygen takes its options, and how it says what went wrong."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

OptionsT = TypeVar("OptionsT")


class UsageError(ValueError):
    """What whoever runs a program can mend: an option, a file, a device that is not there. The message says how."""


@runtime_checkable
class Checked(Protocol):
    """Options with rules that their types do not tell; `check` raises UsageError where one is broken."""

    def check(self) -> None: ...


def command_line(main: Callable[[OptionsT], None], options: type[OptionsT]) -> None:
    """Run main with the options from the command line, checked where they are `Checked`.

    A UsageError or OSError is told in one sentence, with exit status 1; `python -X dev` shows its traceback as well. Every other
    exception is a bug, and keeps its traceback.
    """
    import tyro

    parsed = tyro.cli(options, description=sys.modules[main.__module__].__doc__)
    try:
        if isinstance(parsed, Checked):
            parsed.check()
        main(parsed)
    except (UsageError, OSError) as error:
        if sys.flags.dev_mode:
            raise
        raise SystemExit(f"{Path(sys.argv[0]).name}: {error}") from None
