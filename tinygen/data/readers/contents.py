"""What a folder holds, in words, for the messages that refuse it."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

SHOWN = 6


def contents(folder: Path) -> str:
    """The first names in a folder, and how many more there are; and which folders may not be read."""
    paths = sorted(folder.iterdir())
    closed = [path.name for path in paths if path.is_dir() and not os.access(path, os.R_OK | os.X_OK)]
    names = [path.name + "/" * path.is_dir() for path in paths]
    return (listed(names) if names else "nothing") + (f" (permission to read is missing for {listed(closed)})" if closed else "")


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def passed_over(paths: Sequence[Path]) -> str:
    """How many files and folders are left out, by the endings of their names; "" if there are none."""
    if not paths:
        return ""
    kinds = Counter("folders" if path.is_dir() else path.suffix.lower() or "without ending" for path in paths)
    return f", {len(paths)} passed over ({', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))})"
