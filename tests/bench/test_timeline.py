"""What a step of several processes leaves on the timeline, and how it is drawn."""

from itertools import pairwise
from xml.etree import ElementTree

import numpy
import pytest

import tinygen as tg
from tinygen import nn, optim
from tinygen.backend import Arrived
from tinygen.bench.timeline import COLOURS, Recorder, Span, svg


def test_a_step_s_spans_are_recorded_in_their_order_and_the_inner_ones_left_out() -> None:
    net, recorder = nn.Sequential(nn.Dense(3, 2), nn.BatchNorm(2)), Recorder()
    sgd = optim.SGD(net.parameters(), 0.1)
    with recorder.recording({"net": net, "sgd": sgd}.values()):
        x = net(tg.tensor(numpy.eye(3, dtype="float32")))
        total = recorder.begin(lambda x: Arrived(2 * x), numpy.ones(30_000, "float32"))
        sgd.minimize(x.sum())
        assert total.wait().tolist() == [2.0] * 30_000
        recorder.begin(Arrived, numpy.ones(3, "float32")).wait()
    sgd.step()  # which is not recorded any more
    kinds = [span.kind for span in recorder.spans]
    assert list(dict.fromkeys(kinds)) == ["forward", "backward", "optimiser", "waiting", "averaging"]
    assert kinds.count("optimiser") == 1 and kinds[-3:] == ["waiting", "averaging", "waiting"]
    *computed, first_wait, average, second_wait = recorder.spans
    assert (first_wait.name, average.name, second_wait.name) == ("120.0 kB", "120.0 kB", "0.0 kB")
    assert all(a.start <= a.end <= b.start for a, b in pairwise(computed))
    assert average.start < next(span.start for span in computed if span.kind == "backward") < average.end


def test_the_picture_by_hand() -> None:
    spans = [
        Span("forward", "a<b", 0.0, 0.010),
        Span("averaging", "first", 0.002, 0.008),
        Span("averaging", "second", 0.004, 0.010),
        Span("averaging", "third", 0.009, 0.010),
        Span("waiting", "", 0.008, 0.009),
    ]
    root = ElementTree.fromstring(svg({1: [[Span("forward", "", 9.0, 9.0089)]], 2: [spans, spans[:1]]}, "title"))
    boxes = [child for child in root if child.tag.endswith("rect")][1:]  # the first one is the background
    alone, *first, second = boxes
    assert [box.get("fill") for box in first] == [COLOURS[kind] for kind in ("forward", *3 * ["averaging"], "waiting")]
    x = [float(box.get("x", "")) for box in boxes]
    width = [float(box.get("width", "")) for box in boxes]
    assert width[1] == 890.0 and width[0] == pytest.approx(0.89 * 890, abs=0.01)  # 10 ms are 890 pixels
    assert x == pytest.approx([90, 90, 90 + 178, 90 + 356, 90 + 801, 90 + 712, 90], abs=0.01)
    y = [float(box.get("y", "")) for box in first]
    assert y[0] == y[4] < y[1] == y[3] < y[2]  # the third average takes the row in which the first one has ended
    assert float(alone.get("y", "")) < y[0] < y[2] < float(second.get("y", ""))
    assert [text for text in root.itertext() if "ms" in text and "," not in text] == [f"{ms} ms" for ms in range(11)]
    assert "forward: a<b, 10.00 ms" in root.itertext()
    assert {"1 of 1", "1 of 2", "2 of 2", "title", *COLOURS} <= set(root.itertext())
