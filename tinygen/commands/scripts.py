"""The script that a run is from, as a module.

A checkpoint only names its script. A script of that name is imported if it is one of tinygen's
examples; any other is imported only if the user gives its path.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import tinygen
from tinygen.command_line import UsageError

EXAMPLES = Path(tinygen.__file__).parent.parent / "examples"  # in the repository; they are not installed


def script_of(run: Path, name: str | None, given: str | Path | None) -> ModuleType:
    """The module `given`, or else the example of this name. Raises UsageError if there is none."""
    if given is not None:
        if not Path(given).is_file():
            raise UsageError(f"the script {given} does not exist")
        return _imported(Path(given).resolve())
    if name is None:
        raise UsageError(f"{run} does not say which script it is from; give the script")
    if not EXAMPLES.is_dir():
        raise UsageError(f"{run} is from {name}.py, and tinygen's examples are not at {EXAMPLES}: give the script, such as PATH/{name}.py")
    if name not in {path.stem for path in EXAMPLES.glob("*.py")}:
        raise UsageError(f"{run} is from {name}.py, which is not one of tinygen's examples; give the script, such as PATH/{name}.py")
    return _imported(EXAMPLES / f"{name}.py")


def _imported(path: Path) -> ModuleType:
    """The file as a module of its own name, which may import the scripts beside it."""
    sys.path.insert(0, str(path.parent))
    try:
        module = importlib.import_module(path.stem)
    finally:
        sys.path.remove(str(path.parent))
    if (file := getattr(module, "__file__", None)) is None or Path(file).resolve() != path.resolve():
        raise UsageError(f"{path} cannot be imported, since {path.stem} is the name of another module, {file}; rename the script")
    return module
