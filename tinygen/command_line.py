"""How every program of tinygen reads its options, and how it reports errors."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

OptionsT = TypeVar("OptionsT")


class UsageError(ValueError):
    """An error that the user can fix: a wrong option, a damaged file, a missing device.

    The message says how to fix it.
    """


@runtime_checkable
class Checked(Protocol):
    """Options with rules that types cannot express; `check` raises UsageError if one is broken."""

    def check(self) -> None: ...


def command_line(main: Callable[[OptionsT], None], options: type[OptionsT]) -> None:
    """Run main with the options from the command line. `Checked` options are checked first.

    A UsageError or OSError is reported in one sentence, with exit status 1; `python -X dev` shows
    the traceback. Every other exception is a bug and keeps its traceback. Characters that the
    terminal's encoding lacks are printed as escapes.
    """
    import tyro

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    parsed = tyro.cli(options, description=sys.modules[main.__module__].__doc__)
    try:
        if isinstance(parsed, Checked):
            parsed.check()
        main(parsed)
    except (UsageError, OSError) as error:
        if sys.flags.dev_mode:
            raise
        raise SystemExit(f"{Path(sys.argv[0]).name}: {error}") from None
