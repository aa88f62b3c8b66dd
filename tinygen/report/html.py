"""The report of one or several runs: one HTML file that needs no network.

Text and tables are written here. The curves, the film of the samples and the plane of the latent
space are drawn in the browser by page.js, which has no library: those that draw curves are larger
than the rest of the page, or have fixed colours, which a dark page needs others of.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from tinygen.command_line import UsageError
from tinygen.report import frames, sections
from tinygen.report.contents import Contents, read_contents
from tinygen.saving.checkpoint import write_whole
from tinygen.saving.run_folder import PLANE

LIMIT = 3_000_000  # bytes of a report
PICTURES = 2_500_000  # characters of all its pictures
TOGETHER = {"D": "losses of D and G", "G": "losses of D and G", "D(x)": "D(x) and D(G(z))", "D(G(z))": "D(x) and D(G(z))"}
ABOUT = {
    "diversity": "mean distance between generated images, divided by that between training images",
    "KL": "nats per image",
    "reconstruction": "nats per image",
    "-ELBO": "nats per image: reconstruction + KL",
    "D(x) and D(G(z))": "D's mean answers to real and to generated images",
}


def write_report(folders: Sequence[Path], path: Path) -> None:
    """Write the report of the runs in these folders to `path`, replacing the file that is there.

    Of many or long runs it keeps fewer pictures, such that it stays below 3 MB.

    Raises UsageError if a folder does not hold a run, a file in it is damaged, or there are too many
    runs for one page.
    """
    content = page([read_contents(folder) for folder in folders]).encode(errors="replace")  # a file's name may not be Unicode
    if len(content) > LIMIT:
        raise UsageError(f"the report of {len(folders)} runs has {len(content):,} bytes, and {LIMIT:,} are the limit: choose fewer runs")
    write_whole(path, content)


def page(runs: Sequence[Contents]) -> str:
    """The report of these runs."""
    named = _named(runs)
    budget = PICTURES // max(1, len(runs))
    data = {
        "runs": [{"name": name, **_pictures(contents, budget)} for name, contents in named.items()],
        "charts": charts(named),
        "epochs": max((int(contents.log[-1]["epoch"] or 0) for contents in runs if contents.log), default=0),
    }
    below = [part(named) for part in (sections.metrics, sections.models, sections.profiles, sections.options)]
    folder = files("tinygen.report")
    return Template((folder / "page.html").read_text()).substitute(
        title=sections.escaped(", ".join(named)),
        style=(folder / "page.css").read_text(),
        several=" several" if len(named) > 1 else "",
        head=sections.head(named),
        numbers=sections.numbers(named),
        below="".join(below),
        data=json.dumps(data, allow_nan=False).replace("<", "\\u003c"),  # no </script> ends it
        script=(folder / "page.js").read_text(),
    )


def _named(runs: Sequence[Contents]) -> dict[str, Contents]:
    """The runs by the names of their folders, and by whole paths if these are not unique."""
    names = [contents.folder.path.resolve().name for contents in runs]
    if len(set(names)) < len(names):
        names = [str(contents.folder.path.resolve()) for contents in runs]
    return dict(zip(names, runs, strict=True))


def _pictures(contents: Contents, budget: int) -> dict[str, Any]:
    """The pictures of a run as `data:` addresses: the plane of the latent space, those beside the log,
    and the samples, by epoch."""
    folder = contents.folder
    planes = frames.frames({"plane": folder.plane} if folder.plane.exists() else {}, budget // 5)
    others = frames.frames({path.stem: path for path in sorted(folder.path.glob("*.png"))}, budget // 5)
    left = budget - sum(map(len, [*planes.values(), *others.values()]))
    return {"steps": PLANE, **planes, "pictures": others, "frames": frames.frames(contents.pictures, left)}


def charts(runs: Mapping[str, Contents]) -> list[dict[str, Any]]:
    """The curves, chart by chart: a number with those that belong to it, such as loss with test_loss."""
    names = list(dict.fromkeys(name for contents in runs.values() for name in contents.names))
    groups: dict[str, list[str]] = {}
    for name in names:
        base = name.partition("_")[2]
        groups.setdefault(TOGETHER.get(name, base if base in names else name), []).append(name)
    return [{"title": title, "about": ABOUT.get(title, ""), "curves": _curves(runs, group)} for title, group in groups.items()]


def _curves(runs: Mapping[str, Contents], names: Sequence[str]) -> list[dict[str, Any]]:
    """The colour tells the runs apart, or the numbers if there is one run. A number that never changes
    is a baseline."""
    curves: list[dict[str, Any]] = []
    for i, contents in enumerate(runs.values()):
        for j, name in enumerate(names):
            values = contents.series(name)
            baseline = len(values) > 1 and len(set(values.values())) == 1
            style = {"colour": (i if len(runs) > 1 else j) % sections.COLOURS, "dash": len(runs) > 1 and j > 0, "baseline": baseline}
            if values:
                curves.append({"run": i, "name": name, "epochs": list(values), "values": list(values.values()), **style})
    return curves
