"""06: a backward that can be differentiated, and Newton's step."""

import tinygen as tg
from tinygen.learn import Exercise


class Reciprocal(tg.Function):
    def forward(self, x):
        return 1 / x

    def backward(self, g, y, x):
        return -g * y * y


def newton_step(f, x):
    at = tg.tensor([x], "float64", requires_grad=True)
    first = tg.grad(f(at), at, create_graph=True)
    return x - first.item() / tg.grad(first, at).item()


def written(backward):
    """A reciprocal with this backward."""
    methods = {"forward": lambda self, x: 1 / x, "backward": lambda self, g, y, x: backward(g, y, x)}
    return type("Reciprocal", (tg.Function,), methods)


class OfArrays(Reciprocal):
    def backward(self, g, y, x):
        return -g * y.data**2


class OfArraysAlone(Reciprocal):
    def backward(self, g, y, x):
        return -g.data * y.data**2


RAW = (
    "a raw array cannot be multiplied with a Tensor or returned: it would cut the road to x. "
    "Write backward with the Tensors g, y and x, without .data, .numpy() and NumPy's functions"
)


def differentiated(function, x, g, v):
    """y, the gradient that arrives at x, and the gradients of <that, v> to x and to g."""
    x, g = tg.tensor(x, requires_grad=True), tg.tensor(g, requires_grad=True)
    y = function()(x)
    try:
        first = tg.grad(y, x, g, create_graph=True)
    except (TypeError, ValueError) as error:
        if "tinygen" in str(error):  # "use tinygen's functions, not NumPy's"
            return RAW
        raise
    second = tg.grad(first, [x, g], tg.tensor(v)) if first.requires_grad else [0.0 * x, 0.0 * g]
    return [y, first, *second]


def constant(x):
    return tg.tensor(x.data)


def newton(result):
    """Newton's step with something else made of x, f'(x) and f''(x)."""

    def newton_step(f, x):
        at = tg.tensor([x], "float64", requires_grad=True)
        y = f(at)
        first = tg.grad(y, at, create_graph=True)
        return result(x, y.item(), first.item(), tg.grad(first, at).item())

    return newton_step


def without_graph(f, x):
    at = tg.tensor([x], "float64", requires_grad=True)
    first = tg.grad(f(at), at)
    return x - first.item() / tg.grad(first, at).item()


def with_backward(f, x):
    at = tg.tensor([x], "float64", requires_grad=True)
    first = tg.grad(f(at).sum(), [at], create_graph=True)[0]
    second = tg.grad(first.sum(), [at])[0]
    return (at - first / second).item()


EXERCISES = [
    Exercise(
        "Reciprocal",
        Reciprocal,
        lambda rng: [(rng.uniform(0.5, 2, 3), *rng.normal(size=(2, 3))) for _ in range(2)],
        apply=differentiated,
        ideas={
            "dL/dx is right, but its own gradient in x is 0: x or y was used as raw data, which cuts the road to x": written(
                lambda g, y, x: -g / constant(x) ** 2
            ),
            "dL/dx is right, but its own gradient in g is 0: g was used as raw data, which cuts the road to g": written(
                lambda g, y, x: -constant(g) / x**2
            ),
            "dL/dx is right, but its own gradients in x and in g are 0: all of it was computed from raw data": written(
                lambda g, y, x: tg.tensor(-g.data / x.data**2)
            ),
            "dL/dx is right, but its own gradient in x is half of what it should be: one factor y in y * y is raw data": written(
                lambda g, y, x: -g * y * constant(y)
            ),
            RAW: OfArrays,
            "backward returns the slope alone; multiply it by g": written(lambda g, y, x: -1.0 / x**2 + 0.0 * g),
            "the sign is wrong: 1 / x falls": written(lambda g, y, x: g / x**2),
            "the slope of 1 / x has x^2 below, and yours has x": written(lambda g, y, x: -g / x),
            "this is the logarithm's slope, 1 / x": written(lambda g, y, x: g / x),
        },
        right=[written(lambda g, y, x: -g / x**2), written(lambda g, y, x: -(g * y) / x)],
        hints=[
            "forward is 1 / x. Its slope is -1 / x^2.",
            "Multiply by g, and use the Tensors x or y as they are: no .data, no .numpy(), no tg.tensor(...).",
            "return -g * y * y",
        ],
    ),
    Exercise(
        "newton_step",
        newton_step,
        lambda rng: [
            (f, float(x)) for f in (lambda x: (x - 3.0) ** 2 + 2.0, lambda x: x**4 + x, lambda x: tg.exp(x) - 2.0 * x) for x in (0.5, 1.7)
        ],
        ideas={
            "this is Newton's step to where f is 0, x - f / f'; the slope is to be 0, so each has one more dash": newton(
                lambda x, y, first, second: x - y / first
            ),
            "this goes up: s = -f' / f'' has a minus": newton(lambda x, y, first, second: x + first / second),
            "this is a step down the slope, without the second slope: divide by it": newton(lambda x, y, first, second: x - first),
            "the slope is to be divided by the second slope, and you multiply": newton(lambda x, y, first, second: x - first * second),
            "the quotient is upside down: f' / f''": newton(lambda x, y, first, second: x - second / first),
            "this is the length of the step; add it to x": newton(lambda x, y, first, second: -first / second),
            "the first tg.grad needs create_graph=True: without it the first slope has no way back to x": without_graph,
            "you return a Tensor; return a number: .item() is the one in it": lambda f, x: tg.tensor([newton_step(f, x)]),
            "half of the step is missing: the 2 of the series for f falls out in the slope": newton(
                lambda x, y, first, second: x - first / second / 2
            ),
        },
        right=[newton(lambda x, y, first, second: x - first / second), with_backward],
        tolerance=1e-4,  # a learner's Tensor may be float32
        hints=[
            "0 = f'(x) + f''(x) s. What is s, and where do you arrive?",
            "at = tg.tensor([x], requires_grad=True); first = tg.grad(f(at), at, create_graph=True)",
            "second = tg.grad(first, at). The result is x - first.item() / second.item().",
        ],
    ),
]
