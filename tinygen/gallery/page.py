"""The failures on a page for a browser, which needs no network: what fails beside what is cured."""

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from tinygen.gallery.failure import Failure, Line, Outcome
from tinygen.report.frames import address
from tinygen.report.pictures import grid, image_of

WIDTH, HEIGHT, LEFT, BOTTOM = 440, 200, 52, 20  # pixels of a chart, and of its margins
COLUMNS, SCALE = 8, 3  # of a picture
STYLE = """
nav a{margin-right:14px;color:var(--c0)}
.pair img{display:block;width:100%;margin:10px 0;image-rendering:pixelated;border-radius:4px;background:#fff}
.pair pre{white-space:pre-wrap;overflow-wrap:anywhere}
.pair h3 small{font-weight:400}
.charts{margin:16px 0}
.chart svg{cursor:default}
"""
COLOURS = {"sick": "c7", "cured": "c2"}


def page(failures: Mapping[str, Failure], outcomes: Mapping[str, tuple[Outcome, Outcome]]) -> str:
    """The page of these failures; each outcome is that of the sick training, then that of the cured one."""
    sections = "".join(_section(name, failures[name], *pair) for name, pair in outcomes.items())
    links = "".join(f'<a href="#{name}">{escape(failures[name].text[0])}</a>' for name in outcomes)
    style = (files("tinygen.report") / "page.css").read_text() + STYLE
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>A gallery of failures</title>
<style>{style}</style>
</head>
<body>
<header><h1>A gallery of failures</h1>
<p class="facts">Each was trained twice on this machine, with the same random numbers; one line differs.</p>
<nav>{links}</nav></header>
<main>{sections}</main>
</body>
</html>
"""


def _section(name: str, failure: Failure, sick: Outcome, cured: Outcome) -> str:
    title, paragraphs = failure.text
    text = "".join(f"<p>{_marked(paragraph)}</p>" for paragraph in paragraphs)
    bad, good = failure.lines()
    sides = _side("This line does it", bad, failure, sick) + _side("This line cures it", good, failure, cured)
    charts = "".join(_chart(curve, {"sick": points, "cured": cured.curves[curve]}) for curve, points in sick.curves.items())
    source = f"<details><summary>The whole training</summary><pre>{escape(failure.source)}</pre></details>"
    body = f'<div class="pair">{sides}</div><div class="charts">{charts}</div>{source}'
    return f'<section id="{name}"><h2>{escape(title)}</h2>{text}{body}</section>'


def _marked(text: str) -> str:
    return re.sub("`(.+?)`", r"<code>\1</code>", escape(text))


def _side(head: str, line: Line, failure: Failure, outcome: Outcome) -> str:
    picture = address(image_of(grid(outcome.samples, COLUMNS, scale=1)), None)
    kind = "well" if failure.healthy(outcome) else "wrong"
    verdict = f'<div class="verdict {kind}"><b>{outcome.measure:.2g}</b> {escape(failure.measure)}</div>'
    place = f"<small>{escape(line.file)}:{line.number}</small>"
    return f'<div><h3>{head} {place}</h3><pre>{escape(line.text)}</pre><img src="{picture}" alt="samples">{verdict}</div>'


def _chart(name: str, curves: Mapping[str, Mapping[int, float]]) -> str:
    """A number of both trainings by step; on a logarithmic scale where it is positive and grows more than twentyfold."""
    values = [value for points in curves.values() for value in points.values() if math.isfinite(value)]
    logarithmic = min(values) > 0 and max(values) > 20 * min(values)
    scaled = math.log10 if logarithmic else float
    low, high = scaled(min(values)), scaled(max(values))
    last, span = max(max(points) for points in curves.values()) or 1, high - low or 1.0

    def at(step: float, value: float) -> str:
        return f"{LEFT + (WIDTH - LEFT - 10) * step / last:.1f},{HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 10) * (value - low) / span:.1f}"

    parts = []
    for tick in _ticks(low, high):
        (left, y), right = at(0, tick).split(","), at(last, tick).partition(",")[0]
        label = f"{10**tick:.2g}" if logarithmic else f"{tick:g}"
        parts.append(f'<path class="grid" d="M{left} {y}H{right}"/><text x="{LEFT - 6}" y="{y}" text-anchor="end" dy="4">{label}</text>')
    for step in (0, last):
        x = at(step, low).partition(",")[0]
        parts.append(f'<text x="{x}" y="{HEIGHT - 4}" text-anchor="{"end" if step else "start"}">{f"step {step}" if step else 0}</text>')
    for who, points in curves.items():
        path = "L".join(at(step, scaled(value)) for step, value in points.items() if math.isfinite(value))
        parts.append(f'<path class="{COLOURS[who]}" d="M{path}"/>')
    legend = "".join(f'<span><i class="dot {COLOURS[who]}"></i>{who}</span>' for who in curves)
    head = f'<h4>{escape(name)}</h4><div class="legend">{legend}</div>'
    return f'<div class="chart">{head}<svg viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(parts)}</svg></div>'


def _ticks(low: float, high: float) -> Sequence[float]:
    """Three to six round numbers from low to high."""
    if high <= low:
        return [low]
    step = 10 ** math.floor(math.log10(high - low))
    while (high - low) / step < 3:
        step /= 2
    while (high - low) / step > 6:
        step *= 2
    return [round(k * step, 12) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
