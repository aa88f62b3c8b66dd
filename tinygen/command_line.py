"""How every program of tinygen reads its options, and how it reports errors."""

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar, runtime_checkable

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

    A UsageError, OSError or MemoryError is reported in one sentence, with exit status 1; `python -X
    dev` shows the traceback. Every other exception is a bug and keeps its traceback. As in a shell,
    the status is 130 after Ctrl-C, and 141 where nobody reads the output any more, as in
    `--help | head -1`. Characters that the terminal's encoding lacks are printed as escapes.
    """
    try:
        try:
            _run(main, options)
        finally:
            if sys.stdout is not None:  # it is None where it was closed before the start
                sys.stdout.flush()
    except KeyboardInterrupt:
        if sys.flags.dev_mode:
            raise
        _leave(130, "interrupted")
    except BrokenPipeError:
        _leave(141, "")
    except (UsageError, OSError, MemoryError) as error:
        if sys.flags.dev_mode:
            raise
        _leave(1, f"not enough memory: {error}" if isinstance(error, MemoryError) else str(error))


def drop_what_nobody_reads() -> None:
    """Where the terminal or the pipe is closed, write to nowhere from now on.

    Python flushes both streams at the end, and would exit with status 120 if it could not.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # as it is where it was closed before the start
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(main: Callable[[OptionsT], None], options: type[OptionsT]) -> None:
    import tyro

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    parsed = tyro.cli(options, prog=_program(), description=sys.modules[main.__module__].__doc__)
    if isinstance(parsed, Checked):
        parsed.check()
    main(parsed)


def _program() -> str:
    """The name of the file that was started; of the package that was, as in `python -m tinygen`."""
    started = Path(sys.argv[0])
    return started.parent.name if started.name == "__main__.py" else started.name


def _leave(status: int, message: str) -> NoReturn:
    if message and sys.stderr is not None:
        with suppress(OSError):  # the terminal may be gone
            print(f"{_program()}: {message}", file=sys.stderr)
    drop_what_nobody_reads()
    raise SystemExit(status)
