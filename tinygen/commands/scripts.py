"""The script that a run is from, as a module.

A checkpoint only names its script, and says whether it is one of tinygen's examples. These are
imported; any other script only if the user gives its path.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType

from tinygen.command_line import UsageError
from tinygen.training.options import EXAMPLES


def script_of(run: Path, name: str | None, given: str | Path | None, example: bool | None = None) -> ModuleType:
    """The module `given`, or else the example of this name. Raises UsageError if there is none.

    Where the run says that its script is not an example, one of the same name is not taken.
    """
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
    if example is False:
        raise UsageError(f"{run} is from a {name}.py that is not tinygen's example of this name; give the script, such as PATH/{name}.py")
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
