"""The model of a GPU's convolutions: it keeps its bounds, and the documentation has its table."""

import types

import pytest

from tinygen.bench.layers import DIRECTIONS, LAYERS

pytestmark = pytest.mark.gpu


@pytest.fixture
def prediction(planned_as_for_a_gpu: None) -> types.ModuleType:
    from tinygen.bench import prediction

    return prediction


def test_the_table_in_the_documentation_is_the_model_s(prediction: types.ModuleType) -> None:
    written = [line.strip() for line in (prediction.__doc__ or "").splitlines()]
    for line in prediction.paper():
        assert line.strip() in written, "python -c 'from tinygen.bench import prediction; print(*prediction.paper(), sep=chr(10))'"


def test_nothing_is_faster_than_the_bound_and_a_larger_gpu_is_no_slower(prediction: types.ModuleType) -> None:
    small = prediction.GPU("a quarter of an H100", 33, 67.0 / 4, 3.35 / 4)
    for layer in [*LAYERS, *prediction.LAYERS]:
        for direction in DIRECTIONS:
            large = prediction.predict(layer, direction, prediction.H100)
            assert large.bound < large.seconds < prediction.predict(layer, direction, small).seconds * 1.2
            assert 1 <= large.launches <= 5


def test_a_layer_that_fills_the_gpu_takes_little_more_than_its_multiply_adds(prediction: types.ModuleType) -> None:
    layer = prediction.Layer(256, (64, 64), 128, 128, 3, 1, "same")
    peak = layer.flops() / 67e12
    for direction in DIRECTIONS:
        assert 1 / 0.88 <= prediction.predict(layer, direction, prediction.H100).seconds / peak < 1.2
