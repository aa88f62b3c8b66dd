"""The promises about the source itself: what an import costs, which way imports point, and that the README tells the truth."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

README = (ROOT / "README.md").read_text()

# From the bottom to the top: a file imports from its own floor or from those before it.
FLOORS = [
    ["tinygen_kernels", "tinygen.command_line", "tinygen.version"],
    ["tinygen.backend"],
    ["tinygen.data", "tinygen.saving", "tinygen.report"],
    ["tinygen.engine"],
    ["tinygen.functional"],
    ["tinygen.inspection"],
    ["tinygen.nn"],
    ["tinygen.optim"],
    ["tinygen.testing", "tinygen.interchange"],
    ["tinygen.evaluation"],
    ["tinygen.training"],
    ["tinygen.bench"],
    ["tinygen.learn", "tinygen.gallery"],
    ["tinygen.commands"],
    ["tinygen.evaluate", "tinygen.__main__", "examples"],
]


def floor_of(module: str) -> int:
    """The floor of a module, or of the innermost package it is in that has one. `import tinygen` gives out all up to optim."""
    name = "tinygen.optim" if module == "tinygen" else module
    floors = {listed: i for i, names in enumerate(FLOORS) for listed in names}
    while name not in floors:
        assert name, f"{module} has no place in FLOORS"
        name = name.rpartition(".")[0]
    return floors[name]


def modules() -> dict[str, Path]:
    """The importable names of all files."""
    files = {path: path.relative_to(ROOT / "kernels") for path in (ROOT / "kernels").rglob("*.py")}
    files |= {path: path.relative_to(ROOT) for folder in ("tinygen", "examples") for path in (ROOT / folder).rglob("*.py")}
    return {".".join(name.with_suffix("").parts).removesuffix(".__init__"): path for path, name in files.items()}


MODULES = modules()


def imports(path: Path) -> set[str]:
    """The project's modules that a file imports when it runs; what only the type checker sees is left out."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for part in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in hidden:
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and id(node) not in hidden:
            submodules = {f"{node.module}.{name.name}" for name in node.names} & set(MODULES)
            found |= submodules or {node.module}
    return {name for name in found if name.split(".")[0] in ("tinygen", "tinygen_kernels")}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"tinygen"}))
def test_imports_point_downwards(module: str) -> None:
    above = {name for name in imports(MODULES[module]) if floor_of(name) > floor_of(module)}
    assert not above, f"{module} imports {above} from floors above its own"


def test_importing_tinygen_leaves_out_what_is_heavy_or_optional() -> None:
    heavy = "numba cupy matplotlib torch tyro PIL hypothesis onnx"
    code = f"import sys, tinygen; print([name for name in '{heavy}'.split() if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_no_file_is_too_long_to_read_at_once() -> None:
    folders = [ROOT / folder for folder in ("tinygen", "kernels", "examples", "tests")]
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for folder in folders for path in folder.rglob("*.py")}
    assert max(lines.values()) <= 300, {name: n for name, n in lines.items() if n > 300}
    assert sum(lines[f"tinygen/engine/{part}.py"] for part in ("tensor", "function", "backward")) < 450


def test_examples_share_by_import_and_not_by_copy() -> None:
    """No nine lines that follow each other, blank ones and imports aside, stand in two examples."""
    owner: dict[tuple[str, ...], str] = {}
    for path in sorted((ROOT / "examples").glob("*.py")):
        lines = [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith(("import ", "from "))]
        for block in zip(*(lines[i:] for i in range(9)), strict=False):
            assert owner.setdefault(block, path.name) == path.name, f"{path.name} and {owner[block]} share {block}"


def test_the_reading_path_has_nine_short_files() -> None:
    stops = re.findall(r"^\d+\. \[`[\w./]+`\]\(([\w./]+)\):", README, re.MULTILINE)
    assert len(stops) == 9
    assert {file: n for file in stops if (n := len((ROOT / file).read_text().splitlines())) >= 300} == {}


def test_the_readme_s_files_exist() -> None:
    links = re.findall(r"\]\((?!http)([\w./-]+)\)", README)
    assert links and all((ROOT / link).exists() for link in links), links


def test_the_readme_s_python_runs(tmp_path: Path) -> None:
    """All of its Python, from top to bottom, in one script; its tests, too."""
    script = tmp_path / "test_readme.py"
    script.write_text("\n\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL)))
    result = subprocess.run([sys.executable, "-m", "pytest", "-q", script], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    assert "3 passed" in result.stdout


def test_the_glossary_s_lines_are_in_their_files() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \| `(.+?)` in \[`[\w./]+`\]\(([\w./]+)\) \|$", README.partition("## Glossary")[2], re.MULTILINE)
    assert len(rows) >= 45 and len(rows) == README.partition("## Glossary")[2].count("\n| ") - 1
    for word, _, line, file in rows:
        assert line in " ".join((ROOT / file).read_text().split()), f"{word}: {file} has no {line!r}"


def test_the_readme_s_commands_are_the_makefile_s() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("train", "test"):
        assert f"make {target}" in README
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for command in re.findall(r"python (examples/\w+\.py)", README):
        assert (ROOT / command).exists()
