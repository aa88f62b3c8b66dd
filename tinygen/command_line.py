"""How every program of tinygen takes its options, and how it says what went wrong."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import tyro

O = TypeVar("O")


def command_line(main: Callable[[O], None], options: type[O]) -> None:
    """Run main with the options from the command line.

    What the user can mend (ValueError, OSError, RuntimeError) is told in one sentence, with exit status 1; `python -X dev` shows the
    traceback instead. Exit status 130 after Ctrl-C.
    """
    parsed = tyro.cli(options, description=sys.modules[main.__module__].__doc__)
    try:
        main(parsed)
    except (ValueError, OSError, RuntimeError) as error:
        if sys.flags.dev_mode:
            raise
        raise SystemExit(f"{Path(sys.argv[0]).name}: {error}") from None
