"""The graph behind a tensor: nothing is left out, nothing comes twice, and the walk's order is the engine's."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy
import pytest
from browser import CHROMIUM, browser
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygen as tg
from tinygen import Function, Listener, Tensor, nn
from tinygen.engine.listeners import Event

SVG = "{http://www.w3.org/2000/svg}"


@st.composite
def computed(draw: st.DrawFn) -> Tensor:
    """A number at the end of a random graph of sums, products and functions of one or two leaves and a constant."""
    tensors = [tg.tensor(numpy.full((2,), n), "float64", requires_grad=n < 2) for n in range(3)]
    for _ in range(draw(st.integers(1, 12))):
        a, b = (tensors[draw(st.integers(0, len(tensors) - 1))] for _ in range(2))
        tensors.append(draw(st.sampled_from([lambda a, b: a + b, lambda a, b: a * b, lambda a, b: tg.tanh(a), lambda a, b: a * 0.5]))(a, b))
    y = sum(tensors[3:], start=tensors[0])
    return (y * draw(st.sampled_from(tensors))).sum()


def reachable(output: Tensor) -> list[Tensor]:
    found, stack = dict[int, Tensor](), list[Any]([output])
    while stack:
        t = stack.pop()
        found[id(t)] = t
        stack += [x for x in t.node.inputs if isinstance(x, Tensor) and id(x) not in found] if t.node else []
    return list(found.values())


class Turns(Listener):
    def __init__(self) -> None:
        self.passed: list[tuple[Tensor, numpy.ndarray]] = []

    def backward(self, node: Function, g: Tensor, y: Tensor, inputs: Sequence[Any], needs: Sequence[bool]) -> Event:
        self.passed.append((y, g.numpy().copy()))
        yield


class TestEveryGraph:
    @settings(deadline=None, max_examples=60)
    @given(output=computed())
    def test_has_every_tensor_and_every_edge_once(self, output: Tensor) -> None:
        vertices = tg.graph(output).vertices
        expected = reachable(output)
        assert sorted(id(v.tensor) for v in vertices) == sorted(map(id, expected))
        edges = Counter((id(x), id(t)) for t in expected if t.node for x in t.node.inputs if isinstance(x, Tensor))
        assert Counter((id(vertices[j].tensor), id(v.tensor)) for v in vertices for j in v.inputs) == edges
        assert all(j < i for i, v in enumerate(vertices) for j in v.inputs)

    @settings(deadline=None, max_examples=60)
    @given(output=computed())
    def test_is_drawn_with_every_tensor_and_every_edge_once(self, output: Tensor) -> None:
        graph = tg.graph(output)
        picture = ElementTree.fromstring(graph._repr_svg_())
        assert len(list(picture.iter(f"{SVG}circle"))) == len(graph.vertices)
        places = {(c.get("cx"), c.get("cy")) for c in picture.iter(f"{SVG}circle")}
        assert len(places) == len(graph.vertices)
        ends = [re.match(r"M(\d+) (\d+)V.* (\d+) (\d+)$", path.get("d", "")) for path in picture.iter(f"{SVG}path")]
        assert len(ends) == sum(len(v.inputs) for v in graph.vertices)
        assert {end.groups()[:2] for end in ends if end} | {end.groups()[2:] for end in ends if end} == places

    @settings(deadline=None, max_examples=60)
    @given(output=computed())
    def test_takes_no_more_lanes_than_tensors_are_waiting(self, output: Tensor) -> None:
        graph = tg.graph(output)
        last = {j: i for i, v in enumerate(graph.vertices) for j in v.inputs}
        waiting = max(sum(j < i <= end for j, end in last.items()) for i in range(1, len(graph.vertices)))
        lanes = {circle.get("cx") for circle in ElementTree.fromstring(graph._repr_svg_()).iter(f"{SVG}circle")}
        assert len(lanes) <= waiting

    @settings(deadline=None, max_examples=60)
    @given(output=computed())
    def test_shows_the_gradients_and_the_order_of_the_walk(self, output: Tensor) -> None:
        turns = Turns()
        with tg.listening(turns):
            output.backward(retain_graph=True)
        shown = {id(v.tensor): v for v in tg.graph(output, gradients=True).vertices}
        assert [shown[id(y)].turn for y, _ in turns.passed] == list(range(1, len(turns.passed) + 1))
        for y, g in turns.passed:
            assert shown[id(y)].gradient == pytest.approx(float(numpy.linalg.norm(g)))
        for v in shown.values():
            if v.tensor.node is None and v.tensor.requires_grad:
                assert v.tensor.grad is not None and v.gradient == pytest.approx(float(numpy.linalg.norm(v.tensor.grad.numpy())))


def test_the_text_is_a_tree_in_which_a_shared_tensor_s_inputs_come_once() -> None:
    w, x = tg.tensor([2.0], requires_grad=True), tg.tensor([3.0])
    h = 2.0 * w
    assert str(tg.graph(((h + 3.0 * h) * x).sum(), {"w": w, "x": x}, gradients=True)).splitlines() == [
        "Sum ()  turn 1  |g| 1",
        "└─ Mul (1,)  turn 2  |g| 1",
        "   ├─ Add (1,)  turn 3  |g| 3",
        "   │  ├─ Mul 2 (1,)  turn 5  |g| 12",
        "   │  │  └─ w (1,)  |g| 24",
        "   │  └─ Mul 3 (1,)  turn 4  |g| 3",
        "   │     └─ Mul 2 (1,)  turn 5  |g| 12 (see above)",
        "   └─ x (1,)",
    ]


def test_a_named_input_of_a_layer_keeps_its_name() -> None:
    x = tg.ones((2, 3))
    assert "x" in [v.name for v in tg.graph(nn.Dense(3, 1)(x).sum(), {"x": x}).vertices]


def test_gradients_of_gradients_have_a_graph() -> None:
    x = tg.tensor([2.0], requires_grad=True)
    text = str(tg.graph(tg.grad(tg.tanh(x).sum(), x, create_graph=True), {"x": x}))
    assert text.startswith("Mul") and "Tanh (1,)" in text and "x (1,)" in text


def test_a_deep_graph_does_not_end_the_stack() -> None:
    y = tg.tensor([1.0], requires_grad=True)
    for _ in range(3000):
        y = y * 1.0
    graph = tg.graph(y.sum(), gradients=True)
    assert len(graph.vertices) == 3002 == len(str(graph).splitlines())


def test_what_cannot_be_drawn() -> None:
    w = tg.tensor([2.0], requires_grad=True)
    y = (w * w).sum()
    y.backward()
    with pytest.raises(ValueError, match="the graph behind Sum was freed by an earlier backward; keep it there with retain_graph=True"):
        tg.graph(y)
    with pytest.raises(ValueError, match="the output was not computed from tensors that require gradients"):
        tg.graph(tg.ones((2,)))
    with pytest.raises(ValueError, match="needs a grad_output"):
        tg.graph(w * w.reshape(1, 1) * tg.ones((2, 1)), gradients=True)


@pytest.fixture
def dcgan_loss() -> tg.inspection.graph.Graph:
    discriminator = nn.Sequential(nn.Conv2D(1, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.BatchNorm(4), nn.Flatten(), nn.Dense(4 * 14 * 14, 1))
    generator = nn.Sequential(nn.Dense(8, 7 * 7 * 4), nn.Reshape((7, 7, 4)), nn.ReLU(), nn.ConvTranspose2D(4, 1, 4, 4, "same"), nn.Tanh())

    def loss() -> Tensor:
        real, fake = tg.randn((2, 28, 28, 1)), generator(tg.randn((2, 8)))
        return tg.softplus(-discriminator(real)).mean() + tg.softplus(discriminator(fake)).mean()

    return tg.graph(loss, {"D": discriminator, "G": generator}, film=True)


class TestAStepOfAGan:
    def test_layers_are_boxes_that_open(self, dcgan_loss: Any) -> None:
        picture = ElementTree.fromstring(dcgan_loss._repr_svg_())
        links = {a.get("href"): "".join(a.itertext()) for a in picture.iter(f"{SVG}a")}
        boxes = {f"#{g.get('id')}": "".join(g.itertext()) for g in picture.iter(f"{SVG}g")}
        assert links.keys() == boxes.keys()
        dense = next(link for link, text in links.items() if text.startswith("▸ Dense(8 -> 196) (2, 196) |g| "))
        assert all(part in boxes[dense] for part in ("G.layers.0.weight (8, 196)", "G.layers.0.bias (196,)", "Dense"))
        rows = len(list(picture.iter(f"{SVG}circle"))) - sum(len(list(g.iter(f"{SVG}circle"))) for g in picture.iter(f"{SVG}g"))
        assert rows < len(dcgan_loss.vertices)

    def test_the_film_lights_the_walk_in_its_order(self, dcgan_loss: Any) -> None:
        lit = re.findall(r'animation-delay:([\d.]+)s"> \|g\| [\d.e+-]+ · turn (\d+)<', dcgan_loss._repr_svg_())
        assert len(lit) > 10 and all(float(delay) == pytest.approx(0.6 * int(turn)) for delay, turn in lit)

    def test_the_picture_is_small_and_asks_for_nothing(self, dcgan_loss: Any) -> None:
        picture = dcgan_loss._repr_svg_()
        assert len(picture.encode()) < 60_000
        assert set(re.findall(r"https?://[^\"]*", picture)) == {"http://www.w3.org/2000/svg"} and "url(" not in picture

    @pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: on Debian, apt-get install chromium")
    def test_a_browser_opens_the_box_that_is_clicked(self, dcgan_loss: Any, tmp_path: Path) -> None:
        file = tmp_path / "loss.svg"
        dcgan_loss.save(file)
        seen = "[...document.querySelectorAll('.inside')].filter((box) => box.getBoundingClientRect().height).map((box) => '#' + box.id)"
        with browser(tmp_path / "profile") as page:
            page.open(file)
            assert page.run(seen) == []
            link = page.run("[...document.querySelectorAll('a')].at(-1).getAttribute('href')")
            page.run(f"document.querySelector('a[href=\"{link}\"]').dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")
            page.settle()
            assert page.run(seen) == [link]
            assert page.errors == [] and page.requests == [file.as_uri()]
