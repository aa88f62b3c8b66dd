"""What a listener hears, in which order, and that it costs nothing where nobody listens."""

import threading
from typing import Any

import numpy
import pytest

import tinygen as tg
from tinygen import nn
from tinygen.engine.grad import gradients_in_order
from tinygen.engine.listeners import Event, everywhere


class Diary(tg.Listener):
    """Writes down what begins, and what ends with which result."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, what: str) -> Event:
        self.lines.append(f"{what} begins")
        try:
            result = yield
        except ValueError:
            self.lines.append(f"{what} fails")
            raise
        kind = [type(part).__name__ for part in result] if isinstance(result, tuple) else result.shape
        self.lines.append(f"{what} gave {kind}")

    def forward(self, node: Any, inputs: Any) -> Event:
        yield from self.note(f"forward of {type(node).__name__}")

    def backward(self, node: Any, g: Any, y: Any, inputs: Any, needs: Any) -> Event:
        yield from self.note(f"backward of {type(node).__name__} for {needs}")

    def layer(self, module: Any, inputs: Any) -> Event:
        yield from self.note(f"layer {module.describe()}")


def test_events_nest_and_give_their_results() -> None:
    diary, x = Diary(), tg.ones((2, 3), requires_grad=True)
    with tg.listening(diary):
        nn.Sequential(nn.Tanh())(x).sum().backward()
    assert diary.lines == [
        "layer Sequential() begins",
        "layer Tanh() begins",
        "forward of TanhFunction begins",
        "forward of TanhFunction gave (2, 3)",
        "layer Tanh() gave (2, 3)",
        "layer Sequential() gave (2, 3)",
        "forward of SumFunction begins",
        "forward of SumFunction gave ()",
        *diary.lines[8:],
    ]
    assert diary.lines[8] == "backward of SumFunction for [True] begins"
    assert diary.lines[-1] == "backward of TanhFunction for [True] gave ['Tensor']"
    before = list(diary.lines)
    nn.Tanh()(x)
    assert diary.lines == before and not everywhere


def test_an_error_reaches_the_listener_and_the_caller() -> None:
    diary, layer = Diary(), nn.Dense(3, 1)
    with tg.listening(diary), pytest.raises(ValueError, match="must end in the 3 features"):
        layer(tg.ones((2, 2)))
    assert diary.lines == ["layer Dense(3 -> 1) begins", "layer Dense(3 -> 1) fails"]
    assert not everywhere


def test_two_listeners_enclose_one_another_and_one_may_be_there_twice() -> None:
    order: list[str] = []

    class Named(tg.Listener):
        def __init__(self, name: str) -> None:
            self.name = name

        def forward(self, node: Any, inputs: Any) -> Event:
            order.append(f"{self.name} before")
            yield
            order.append(f"{self.name} after")

    outer, inner = Named("outer"), Named("inner")
    with tg.listening(outer), tg.listening(inner):
        tg.ones((1,)) + 1.0
    assert order == ["outer before", "inner before", "inner after", "outer after"]
    order.clear()
    with tg.listening(outer), tg.listening(outer):
        tg.ones((1,)) + 1.0
    assert order == ["outer before"] * 2 + ["outer after"] * 2


def test_a_thread_hears_only_itself() -> None:
    diary = Diary()
    with tg.listening(diary):
        thread = threading.Thread(target=lambda: tg.ones((1,)) + 1.0)
        thread.start()
        thread.join()
        assert diary.lines == []


def test_an_event_that_is_no_generator_is_refused() -> None:
    class Plain(tg.Listener):
        def layer(self, module: Any, inputs: Any) -> Any:
            print(module)

    with pytest.raises(TypeError, match=r"^Plain\.layer must be a generator: let it yield once, where the event happens$"):
        tg.listening(Plain())


def test_what_is_heard_has_the_same_bits() -> None:
    rng = numpy.random.default_rng(0)
    x, layer = tg.tensor(rng.standard_normal((4, 3), numpy.float32)), nn.Dense(3, 2)
    plain = tg.grad(layer(x).sum(), layer.weight)
    with tg.listening(Diary()):
        heard = tg.grad(layer(x).sum(), layer.weight)
    assert plain.data.tobytes() == heard.data.tobytes()


def test_detect_anomaly_nests_is_entered_again_and_decorates() -> None:
    search = tg.detect_anomaly()

    @search
    def decorated() -> tg.Tensor:
        return tg.log(tg.tensor([-1.0]))

    def within() -> tg.Tensor:
        with search, search:
            return tg.log(tg.tensor([-1.0]))

    with numpy.errstate(invalid="ignore"):
        for found in (decorated, within):
            with pytest.raises(FloatingPointError, match=r"^Log: output is not finite"):
                found()
        assert numpy.isnan(tg.log(tg.tensor([-1.0])).item()) and not everywhere


def test_a_gradient_is_told_when_no_function_still_to_be_passed_reads_the_leaf() -> None:
    a, b, c, unread = (tg.tensor(number, requires_grad=True) for number in (2.0, 3.0, 5.0, 7.0))
    told: list[tuple[tg.Tensor, float, int]] = []
    passed: list[Any] = []

    class Walk(tg.Listener):
        def backward(self, node: Any, *_: Any) -> Any:
            passed.append(node)
            yield

    def tell(complete: dict[tg.Tensor, tg.Tensor]) -> None:
        told.extend((x, float(g.numpy()), len(passed)) for x, g in complete.items())

    k = a * b * c
    with tg.listening(Walk()):
        found = gradients_in_order(k + c * c, [a, b, c, unread], tell)
    # c * c comes first, although it was added; then k, and then a * b
    assert told == [(c, 16.0, 3), (a, 15.0, 4), (b, 10.0, 4)]
    assert [g and float(g.numpy()) for g in found] == [15.0, 10.0, 16.0, None]
