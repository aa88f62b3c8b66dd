"""A graph as SVG, one row for each tensor from top to bottom and lanes of lines between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinygen.inspection.graph import Vertex

ROW, LANE, LETTER = 24, 18, 7.3  # pixels: the height of a row, the width of a lane, and of a letter
SECONDS = 0.6  # of the film, for each turn of the walk
COLOURS = ("#4269d0", "#e08214", "#3ca951", "#a463f2", "#d6517c", "#2a9d8f", "#9c6b4e")
STYLE = """
text{font:13px ui-monospace,Menlo,Consolas,monospace;fill:#222}.page{fill:#fff}.quiet{fill:#667}.g{fill:#b4450a}
path{fill:none;stroke-width:2}.dot{stroke:#fff;stroke-width:2}.leaf{fill:#fff;stroke-width:2.5}
a text{cursor:pointer}a:hover text{text-decoration:underline}.inside{display:none}.inside:target{display:inline}
.panel{fill:#f4f6fb;stroke:#99a}
@media (prefers-color-scheme:dark){text{fill:#ddd}.page{fill:#16181d}.quiet{fill:#99a}.g{fill:#ffab6b}
.dot{stroke:#16181d}.leaf{fill:#16181d}.panel{fill:#22262e}}
@keyframes light{from{opacity:.12}30%{opacity:1;font-weight:bold}to{opacity:1}}
.film{animation:light 1.8s both}@media (prefers-reduced-motion:reduce){.film{animation:none}}
"""


@dataclass
class Row:
    """A line of the picture. `inputs` are the numbers of other rows; `rows` are what the box of a layer holds."""

    name: str
    shape: str
    inputs: list[int]
    leaf: bool = False
    gradient: str = ""
    turn: int | None = None
    rows: "Sequence[Row]" = ()

    @property
    def width(self) -> float:
        return LETTER * (len(f"{self.name}  {self.shape}  {self.gradient}") + 6)


def draw(vertices: Sequence["Vertex"], film: bool) -> str:
    """The picture. A layer is one row, which opens beside itself when it is clicked."""
    rows = _folded(vertices)
    lanes = max(_lanes(rows), default=0) + 1
    right = 24 + LANE * lanes + max(row.width for row in rows)
    body = _rows(rows, film)
    height, width = ROW * len(rows) + 20.0, right
    for i, row in enumerate(rows):
        if row.rows:
            box = max(part.width for part in row.rows) + LANE * (max(_lanes(row.rows)) + 1) + 24
            top = max(0, min(ROW * i, ROW * (len(rows) - len(row.rows))))
            inside = [f'<rect class="panel" width="{box:.0f}" height="{ROW * len(row.rows) + 20}" rx="8"/>', *_rows(row.rows, film)]
            body += [f'<g class="inside" id="layer{i}" transform="translate({right:.0f} {top})">', *inside, "</g>"]
            height, width = max(height, top + ROW * len(row.rows) + 20), max(width, right + box + 4)
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>graph of {len(vertices)} tensors</title>'
    return "\n".join([head, f"<style>{STYLE}</style>", '<rect class="page" width="100%" height="100%"/>', *body, "</svg>"])


def _folded(vertices: Sequence["Vertex"]) -> list[Row]:
    """The rows of the closed picture. A leaf that is read within one layer alone is part of that layer's row."""
    users: dict[int, set[int | None]] = {}
    for vertex in vertices:
        for j in vertex.inputs:
            users.setdefault(j, set()).add(vertex.layer)
    groups: dict[tuple[str, int], list[int]] = {}
    for i, vertex in enumerate(vertices):
        layer = vertex.layer if vertex.computed or vertex.layer is not None else None
        if not vertex.computed and vertex.tensor.requires_grad and len(users[i]) == 1:
            layer = next(iter(users[i]))
        groups.setdefault(("row", i) if layer is None else ("layer", layer), []).append(i)
    # A layer's row stands where its last tensor does, so that all of its inputs come before it.
    ordered = sorted(groups.values(), key=lambda members: members[-1])
    number = {i: n for n, members in enumerate(ordered) for i in members}
    rows = []
    for members in ordered:
        last = vertices[members[-1]]
        inputs = [number[j] for i in members for j in vertices[i].inputs if j not in members]
        row = _row(last, inputs)
        if last.layer is not None:
            within = {i: n for n, i in enumerate(members)}
            row.name = last.text
        if len(members) > 1:
            row.rows = [_row(vertices[i], [within[j] for j in vertices[i].inputs if j in within]) for i in members]
        rows.append(row)
    return rows


def _row(vertex: "Vertex", inputs: list[int]) -> Row:
    gradient = "" if vertex.gradient is None else f"|g| {vertex.gradient:.3g}"
    return Row(vertex.name, str(vertex.tensor.shape), inputs, not vertex.computed, gradient, vertex.turn)


def _lanes(rows: Sequence[Row]) -> list[int]:
    """The lane of each row. From the last row up, each input that no lane leads to yet takes one that is free."""
    lanes: list[int | None] = []
    result = [0] * len(rows)

    def take(row: int, first: int = 0) -> int:
        free = next((lane for lane in range(first, len(lanes)) if lanes[lane] is None), len(lanes))
        lanes[free : free + 1] = [row]
        return free

    for i in reversed(range(len(rows))):
        result[i] = lanes.index(i) if i in lanes else take(i)
        lanes[result[i]] = None
        for j in rows[i].inputs:
            if j not in lanes:
                take(j, result[i] if lanes[result[i]] is None else 0)
    return result


def _rows(rows: Sequence[Row], film: bool) -> list[str]:
    lane = _lanes(rows)
    x, y = [20 + LANE * n for n in lane], [22 + ROW * i for i in range(len(rows))]
    lines = []
    for i, row in enumerate(rows):
        for j in row.inputs:
            bend = f"V{y[i] - ROW}C{x[j]} {y[i] - ROW // 2} {x[i]} {y[i] - ROW // 2} {x[i]} {y[i]}"
            lines.append(f'<path d="M{x[j]} {y[j]}{bend}" stroke="{COLOURS[lane[j] % len(COLOURS)]}"/>')
    last = max((row.turn or 0 for row in rows), default=0)
    start = 24 + LANE * (max(lane) + 1)
    for i, row in enumerate(rows):
        colour = COLOURS[lane[i] % len(COLOURS)]
        dot = f'class="leaf" stroke="{colour}"' if row.leaf else f'class="dot" fill="{colour}"'
        lines.append(f'<circle cx="{x[i]}" cy="{y[i]}" r="{4 if row.leaf else 6}" {dot}/>')
        turn = "" if row.turn is None else f" · turn {row.turn}"
        delay = SECONDS * (last + 1 if row.turn is None else row.turn)
        light = f' film" style="animation-delay:{delay:.1f}s"' if film and row.gradient else '"'
        gradient = f'<tspan class="g{light}> {row.gradient}{turn}</tspan>' if row.gradient else ""
        name = f"{'▸ ' if row.rows else ''}{escape(row.name)}"
        text = f'<text x="{start}" y="{y[i] + 4}">{name} <tspan class="quiet">{row.shape}</tspan>{gradient}</text>'
        lines.append(f'<a href="#layer{i}">{text}</a>' if row.rows else text)
    return lines
