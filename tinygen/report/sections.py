"""The parts of a report that need no program to be read: head, numbers, metrics, model, profile, options."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tinygen.report.contents import Contents, Details
from tinygen.report.hints import findings
from tinygen.version import __version__

COLOURS = 8  # of runs and curves, in page.css
MOST_ROWS = 12  # of a profile's tables
ABOUT = {
    "feature_frechet_distance": "distance to the test images, by a classifier's features; smaller is better",
    "precision": "share of generated images that are near test images; larger is better",
    "density": "number of test images that a generated image is near to, 1 being usual; larger is better",
    "recall": "share of test images near generated images; larger is better",
    "coverage": "share of test images with a generated image in their neighbourhood; larger is better",
    "class_entropy": "nats; log K if all K classes are equally frequent",
    "mean_confidence": "the classifier's probability of the class that it sees",
    "nearest_training_distance": "median distance to the nearest training image, in root mean square per pixel",
    "copies": "share of images nearer to a training image than 99% of test images are",
}


def escaped(text: object) -> str:
    return html.escape(str(text))


def dot(i: int) -> str:
    """The colour of run i."""
    return f'<i class="dot c{i % COLOURS}"></i>'


def section(title: str, content: str, about: str = "") -> str:
    """A part of the page, or nothing if it has no content."""
    note = f'<p class="about">{about}</p>' if about else ""
    return f"<section><h2>{escaped(title)}</h2>{note}{content}</section>" if content else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    cells = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def head(runs: Mapping[str, Contents]) -> str:
    """What the runs are, and what looks wrong in each."""
    title = next(iter(runs)) if len(runs) == 1 else f"{len(runs)} runs"
    return f"<header><h1>{escaped(title)}</h1>{''.join(_verdict(i, *run, len(runs) > 1) for i, run in enumerate(runs.items()))}</header>"


def _verdict(i: int, name: str, contents: Contents, several: bool) -> str:
    run, log = contents.run, contents.log
    epochs, planned = len(log), run.options.get("epochs", len(log))
    seconds = sum(line.get("seconds") or 0.0 for line in log)
    spent = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
    facts = [run.script and f"{run.script}.py", f"{epochs} of {planned} epochs", spent, f"tinygen {run.tinygen or __version__}"]
    who = f"{dot(i)}<b>{escaped(name)}</b> " if several else ""
    line = f'<p class="facts">{who}{escaped(" · ".join(fact for fact in facts if fact))}</p>'
    found = findings(contents)
    if wrong := [finding.text for finding in found if finding.wrong]:
        items = "".join(f"<li>{escaped(text)}</li>" for text in wrong)
        return f'{line}<div class="verdict wrong"><b>Something looks wrong</b><ul>{items}</ul></div>'
    checked = f": {'; '.join(finding.text for finding in found)}" if found else ""
    return f'{line}<div class="verdict well"><b>Nothing looks wrong</b>{escaped(checked)}.</div>'


def numbers(runs: Mapping[str, Contents]) -> str:
    """The numbers of the last epoch, a tile for each."""
    names = dict.fromkeys(name for contents in runs.values() for name in contents.names)
    tiles = []
    for name in names:
        last = [(i, contents.log[-1][name]) for i, contents in enumerate(runs.values()) if contents.log and name in contents.log[-1]]
        values = "".join(f"<b>{dot(i) if len(runs) > 1 else ''}{_short(value)}</b>" for i, value in last)
        course = _course(next(iter(runs.values())).series(name)) if len(runs) == 1 else ""
        tiles.append(f'<div class="tile"><span>{escaped(name)}</span>{values}{course}</div>')
    return section("Last epoch", f'<div class="tiles">{"".join(tiles)}</div>' if tiles else "")


def _course(series: Mapping[int, float | None]) -> str:
    """A small curve without axes."""
    values = {epoch: value for epoch, value in series.items() if value is not None}
    if len(values) < 2:
        return ""
    first, low, scale = min(values), min(values.values()), (max(values.values()) - min(values.values())) or 1.0
    points = " ".join(f"{100 * (e - first) / (max(values) - first):.1f},{28 - 26 * (v - low) / scale:.1f}" for e, v in values.items())
    return f'<svg viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true"><polyline class="c0" points="{points}"/></svg>'


def _short(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"


def metrics(runs: Mapping[str, Contents]) -> str:
    """The evaluations: every number with its 95% interval, beside the baseline's."""
    judged = {name: contents.evaluation for name, contents in runs.items() if contents.evaluation}
    parts = []
    for block, title in {"quality": "Quality", "novelty": "Novelty", "class_shares": "Shares of the classes"}.items():
        rows: dict[str, list[Mark]] = {}
        for i, (run, contents) in enumerate(runs.items()):
            columns = contents.evaluation.blocks[block] if contents.evaluation else {}
            for column, estimates in columns.items():
                label = (run if len(runs) > 1 else "generated") if column == "generated" else column.replace("_", " ")
                for name, estimate in estimates.items():
                    rows.setdefault(name, []).append(Mark(label, f"c{i % COLOURS}" if column == "generated" else "base", *estimate))
        content = "".join(_intervals(name, marks) for name, marks in rows.items())
        parts.append(f'<h3>{title}</h3><div class="metrics">{content}</div>' if rows else "")
    about = (
        "Points with 95% intervals; differences within the intervals may be chance. Grey: the baseline, real images in the place of "
        f"generated ones. Data: {'; '.join(dict.fromkeys(evaluation.data.removeprefix('data: ') for evaluation in judged.values()))}."
    )
    return section("Evaluation", "".join(parts), escaped(about))


class Mark(NamedTuple):
    """A number on an axis, with its margin."""

    label: str
    colour: str
    value: float
    margin: float


def _intervals(name: str, marks: Iterable[Mark]) -> str:
    """A metric: its marks below each other, on one axis, the baselines last. Equal baselines are one."""
    ordered = sorted(dict.fromkeys(marks), key=lambda mark: mark.colour == "base")
    low = min(0.0, *(mark.value for mark in ordered))  # an interval may reach below 0 where no value can
    scale = 100 / ((max(mark.value + mark.margin for mark in ordered) - low) or 1.0)
    lines = []
    for label, colour, value, margin in ordered:
        left, right = (max(0.0, scale * (end - low)) for end in (value - margin, value + margin))
        lines.append(
            f'<div class="mark"><span><i class="dot {colour}"></i>{escaped(label)}</span>'
            f'<span class="value">{value:.3f} ± {margin:.3f}</span><span class="axis">'
            f'<i class="interval {colour}" style="left:{left:.2f}%;width:{right - left:.2f}%"></i>'
            f'<i class="point {colour}" style="left:{(value - low) * scale:.2f}%"></i></span></div>'
        )
    note = f"<small>{escaped(ABOUT[name])}</small>" if name in ABOUT else ""
    return f'<div class="metric"><h4>{escaped(name.replace("_", " "))}</h4>{note}{"".join(lines)}</div>'


def models(runs: Mapping[str, Contents]) -> str:
    """The layers of each network."""
    parts = [
        _folded(f"{part} of {name}" if len(runs) > 1 else part, f'<pre class="wide">{escaped(summary)}</pre>', i == 0)
        for i, (name, contents) in enumerate(runs.items())
        for part, summary in contents.details.models.items()
    ]
    return section("Model", "".join(parts))


def _folded(title: str, content: str, is_open: bool) -> str:
    return f"<details{' open' if is_open else ''}><summary>{escaped(title)}</summary>{content}</details>"


def profiles(runs: Mapping[str, Contents]) -> str:
    """Where the time of one step went."""
    profiled = {name: contents.details for name, contents in runs.items() if contents.details.ops}
    parts = [_profile(name if len(runs) > 1 else "", details, i == 0) for i, (name, details) in enumerate(profiled.items())]
    return section("One step", "".join(parts), "The second step, op by op and layer by layer. Every moment counts once.")


def _profile(name: str, details: Details, is_open: bool) -> str:
    total = details.seconds
    ops = [(f"{op} {way}", cost) for op, ways in details.ops.items() for way, cost in ways.items() if cost["calls"]]
    rest = total - sum(cost["seconds"] for _, cost in ops)
    lines = [(op, cost["seconds"], _rate(cost)) for op, cost in sorted(ops, key=lambda op: -op[1]["seconds"])]
    layers = [(layer, sum(cost["seconds"] for cost in ways.values()), "") for layer, ways in details.layers.items()]
    of_ops = table(["op", "ms", "share", "GFLOP/s"], _bars([*_most(lines), ("optimiser, data, Python", rest, "")], total))
    of_layers = table(["layer", "ms", "share", ""], _bars(_most(sorted(layers, key=lambda layer: -layer[1])), total))
    return _folded(f"{name} {total * 1e3:.1f} ms", f'<div class="pair">{of_ops}{of_layers}</div>', is_open)


def _rate(cost: Mapping[str, float]) -> str:
    return f"{cost['flops'] / cost['seconds'] / 1e9:.1f}" if cost["flops"] and cost["seconds"] else ""


def _most(lines: list[tuple[str, float, str]]) -> list[tuple[str, float, str]]:
    """The first lines, and the sum of the others."""
    others = lines[MOST_ROWS:]
    return lines[:MOST_ROWS] + ([(f"{len(others)} others", sum(seconds for _, seconds, _ in others), "")] if others else [])


def _bars(lines: Iterable[tuple[str, float, str]], total: float) -> list[list[str]]:
    shares = [(name, seconds, seconds / total if total else 0.0, rate) for name, seconds, rate in lines]
    bar = '<span class="bar"><i style="width:{:.1f}%"></i></span>{:.1%}'
    return [[escaped(name), f"{seconds * 1e3:.2f}", bar.format(100 * max(share, 0), share), rate] for name, seconds, share, rate in shares]


def options(runs: Mapping[str, Contents]) -> str:
    """The options, versions and machine of each run; what differs between runs is marked."""
    columns: list[dict[str, Any]] = [
        {**run.run.options, "data (SHA-256)": run.run.data, "tinygen": run.run.tinygen, **run.details.machine} for run in runs.values()
    ]
    rows = []
    for name in dict.fromkeys(name for column in columns for name in column):
        values = [escaped(column[name]) if column.get(name) is not None else "-" for column in columns]
        differ = len(set(values) - {"-"}) > 1
        rows.append([escaped(name), *(f"<mark>{value}</mark>" if differ else value for value in values)])
    head = ["option", *(f"{dot(i)}{escaped(name)}" for i, name in enumerate(runs))] if len(runs) > 1 else ["option", "value"]
    return section("Options and machine", table(head, rows))
