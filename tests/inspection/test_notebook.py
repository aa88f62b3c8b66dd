"""What a notebook shows of tensors and modules."""

import base64
import io
import re

import numpy
from PIL import Image

import tinygen as tg
from tinygen import nn


def test_a_tensor_tells_its_shape_its_origin_and_its_statistics() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 6.0]], requires_grad=True)
    shown = x._repr_html_()
    assert "(2, 2), float32, cpu, requires gradients; from 1 to 6, mean 3, standard deviation 1.871" in shown
    assert "<pre>[[1. 2.]\n [3. 6.]]</pre>" in shown
    assert "float32, cpu, from Mul;" in (x * x)._repr_html_()
    assert "2 elements are NaN or infinite" in tg.tensor([1.0, numpy.nan, numpy.inf])._repr_html_()
    assert "[ True False]" in tg.tensor([True, False])._repr_html_()
    assert "(0, 3)" in tg.zeros((0, 3))._repr_html_()


def test_a_tensor_of_images_is_shown_as_a_picture_of_the_first() -> None:
    pixels = numpy.random.default_rng(0).uniform(-1, 1, (20, 8, 8, 3)).astype("float32")
    shown = tg.tensor(pixels)._repr_html_()
    (encoded,) = re.findall(r'src="data:image/webp;base64,(.*?)" alt="16 of 20 images"', shown)
    picture = numpy.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))
    low, high = pixels[:16].min(), pixels[:16].max()
    numpy.testing.assert_allclose(picture[:16:2, :16:2], (pixels[0] - low) / (high - low) * 255, atol=0.51)
    assert "<img" not in tg.zeros((2, 8, 8, 4))._repr_html_() + tg.zeros((3, 3, 1, 3))._repr_html_()
    assert "<img" in tg.zeros((1, 8, 8, 1))._repr_html_()


def test_a_module_is_a_tree_of_its_parts_with_their_parameters() -> None:
    model = nn.Sequential(nn.Dense(2, 3), nn.Sequential(nn.ReLU(), nn.Dense(3, 1, bias=False).requires_grad_(False))).eval()
    shown = model._repr_html_()
    titles = re.sub("<[^>]*>", "|", shown.replace("&gt;", ">"))
    for title in (
        "Sequential| 12",
        "layers.0 |Dense(2 -> 3)| 9",
        "layers.1 |Sequential| 3 frozen",
        "layers.0 |ReLU()|",
        "no bias)| 3 frozen",
    ):
        assert title in titles, titles
    assert "evaluation mode" in shown and "training mode" in model.train()._repr_html_()
    assert shown.count("<details") == shown.count("</details>") == 2
