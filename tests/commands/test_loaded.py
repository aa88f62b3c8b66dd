"""`load_run`: the networks are those of the checkpoint, and their verbs do what they say; what is no run is told in one sentence."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from repository import EXAMPLES, ROOT
from saved_run import NAMES, saved_run

import tinygen as tg
from tinygen.command_line import UsageError
from tinygen.commands.latent import between
from tinygen.saving import checkpoint
from tinygen.training.options import Options

VERBS = {name: "sample, decode" for name in EXAMPLES} | {
    "cnn": "classify",
    "autoencoder": "decode, encode",
    **dict.fromkeys(("attention_names", "transformer"), "write"),
    "superresolution": "decode, encode",
    **{name: "sample, decode, encode" for name in ("vae", "cifar_vae", "recurrent_vae", "vqvae", "inpaint", "realnvp")},
}
IMAGES = numpy.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), numpy.uint8)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_s_run_is_opened_without_its_data_and_says_what_it_cannot_do(example: str, tmp_path: Path) -> None:
    saved = saved_run(tmp_path, example)
    stream = tg.random_state()
    run = tg.load_run(tmp_path)
    assert run.epoch == 2 and run.options.out == tmp_path
    assert repr(run) == f"{tmp_path}: {'vae' if example == 'inpaint' else example}, 2 epochs; {', '.join(run.networks)}"
    for name, network in run.networks.items():
        assert not any(module.training for module in network.modules())
        for key, array in network.state_dict().items():
            assert_array_equal(array, saved.parts[name][key])
    verbs = VERBS[example]
    if "sample" in verbs:
        images = run.sample(3, seed=5)
        assert images.shape == (3, *run.shape) and images.dtype == numpy.float32 and 0 <= images.min() < images.max() <= 1
        assert_array_equal(run.sample(1, seed=5)[0], images[0])
        assert (run.sample(1, seed=6)[0] != images[0]).any()
        way = run.interpolate(5, 6, steps=3)
        assert_allclose(way[[0, 2]], numpy.concatenate([images[:1], run.sample(1, seed=6)]), atol=1e-5)
    if "write" in verbs:
        assert run.write(3, seed=1) == run.write(3, seed=1) and len(run.write(3)) == 3
        assert example == "transformer" or set("".join(run.write(30))) <= set(NAMES.alphabet)
    black = numpy.zeros((1, *run.shape), numpy.uint8)
    for verb, call in {"sample": run.sample, "classify": lambda: run.classify(black), "encode": lambda: run.encode(black)}.items():
        if verb not in verbs and (run.shape or verb == "sample"):
            with pytest.raises(UsageError, match=f"^this model cannot {verb}; it can {verbs}$"):
                call()
    assert_array_equal(tg.random_state(), stream)


def test_an_encoder_s_latent_vectors_are_decoded_and_interpolated(tmp_path: Path) -> None:
    for example in ("vae", "autoencoder"):
        saved_run(tmp_path / example, example)
        run = tg.load_run(tmp_path / example)
        z = run.encode(IMAGES)
        assert_array_equal(run.encode(IMAGES / 255), z)
        assert_array_equal(run.reconstruct(IMAGES), run.decode(z))
        assert_allclose(run.interpolate(z[0], z[1], steps=2), run.decode(z[:2]), atol=1e-5)
        with pytest.raises(UsageError, match=r"decode takes latent vectors \(n, D\), got \(\d+,\): one vector is z\[None\]"):
            run.decode(z[0])


def test_the_images_of_a_class_are_asked_for_by_name_or_number(tmp_path: Path) -> None:
    saved_run(tmp_path / "cgan", "cgan")
    run = tg.load_run(tmp_path / "cgan")
    z, third = run.trained.draw(1, [3]).numpy(), run.networks["generator"].embedding.weight.numpy()[3]
    assert_array_equal(z[0, -50:], third)
    assert_array_equal(run.sample(2, classes=["class 3", 3]), run.sample(2, classes=[3]))
    assert_array_equal(run.sample(11), run.sample(11, classes=run.classes))
    ends = run.interpolate(0, 0, steps=3, classes=["class 1", 2])
    assert_allclose(ends[[0, 2]], [run.sample(1, classes=[1])[0], run.sample(1, classes=[2])[0]], atol=1e-5)
    with pytest.raises(UsageError, match=r"there is no class 'class 10'; the classes are class 0, .*, class 9, or 0 to 9"):
        run.sample(classes=["class 10"])
    saved_run(tmp_path / "infogan", "infogan")
    codes = tg.load_run(tmp_path / "infogan").trained.draw(2, [9, 4]).numpy()[:, 32:]
    assert codes[:, :10].argmax(axis=1).tolist() == [9, 4] and abs(codes[:, 10:]).max() <= 1
    saved_run(tmp_path / "dcgan", "dcgan")
    with pytest.raises(UsageError, match="cannot be asked for classes"):
        tg.load_run(tmp_path / "dcgan").sample(classes=[1])


def test_the_way_between_latent_vectors_goes_round_the_sphere_and_straight_on_beyond_it() -> None:
    a, b = numpy.array([3.0, 0, 0, 1]), numpy.array([0, 3.0, 0, 2])
    z = between(a, b, 5, gaussian=3)
    assert_allclose(numpy.linalg.norm(z[:, :3], axis=1), 3, rtol=1e-6)
    angles = numpy.degrees(numpy.arctan2(z[:, 1], z[:, 0]))
    assert_allclose(angles, [0, 22.5, 45, 67.5, 90], atol=1e-4)
    assert_allclose(z[:, 3], [1, 1.25, 1.5, 1.75, 2])
    assert_allclose(between(a, -a, 3, gaussian=3)[1], 0)
    assert_array_equal(between(a, a, 3, gaussian=4), [a, a, a])


def test_the_data_are_read_when_asked_for_and_must_be_those_of_the_run(few_images: Path, tmp_path: Path) -> None:
    saved_run(tmp_path, "vae")
    run = tg.load_run(tmp_path)
    with pytest.raises(FileNotFoundError, match="gone does not exist"):
        _ = run.data
    run.options.data = few_images
    with pytest.raises(UsageError, match=r"holds other data than those that .* was trained on; set options.data to their place"):
        _ = run.data


@dataclasses.dataclass(kw_only=True)
class Kinds(Options):
    rate: float = 1.0
    widths: tuple[int, ...] = ()
    cell: Literal["rnn", "gru"] = "gru"


def test_options_are_those_that_the_run_was_started_with(tmp_path: Path) -> None:
    for data in ("emoji", tmp_path, None):
        options = Kinds(out=tmp_path, data=data, rate=2.0, widths=(3, 4), with_=(tmp_path / "a.py",), cell="rnn", size=8)
        plain = json.loads(json.dumps(options.plain()))
        assert Kinds.from_plain(plain | {"rate": 2, "gone": 1}) == options
    for name, value in (("size", "8"), ("cell", 3), ("rate", None), ("grey", 1)):
        with pytest.raises(ValueError, match=f"{name} cannot be {value!r}"):
            Kinds.from_plain(plain | {name: value})


SCRIPT = """
from dataclasses import dataclass
from tinygen import nn
from tinygen.training.gan import GANOptions

IMPORTED = True

@dataclass(kw_only=True)
class MyOptions(GANOptions):
    wide: bool = False

def build(options, data):
    return {"generator": nn.Sequential(nn.Dense(options.latent, 12), nn.Tanh(), nn.Reshape(2, 2, 3))}

def main(options: MyOptions) -> None: ...
"""


def test_a_script_of_one_s_own_is_imported_only_where_its_path_is_given(tmp_path: Path) -> None:
    (tmp_path / "my_gan.py").write_text(SCRIPT)
    run = saved_run(tmp_path / "run", "dcgan", latent=4)
    state = {"layers.0.weight": numpy.ones((4, 12), numpy.float32), "layers.0.bias": numpy.zeros(12, numpy.float32)}
    own = dataclasses.replace(run, script="my_gan", parts={"generator": state}, form={"shape": [2, 2, 3], "classes": ["all"]})
    own.save(tmp_path / "run" / "checkpoint.safetensors")
    with pytest.raises(UsageError, match=r"run is from my_gan\.py, which is not one of tinygen's examples; give the script"):
        tg.load_run(tmp_path / "run")
    assert "my_gan" not in sys.modules
    dataclasses.replace(own, script="dcgan", example=False).save(tmp_path / "run" / "checkpoint.safetensors")
    with pytest.raises(UsageError, match=r"run is from a dcgan\.py that is not tinygen's example of this name; give the script"):
        tg.load_run(tmp_path / "run")
    loaded = tg.load_run(tmp_path / "run", script=tmp_path / "my_gan.py")
    sys.modules.pop("my_gan")
    assert loaded.sample(2).shape == (2, 2, 2, 3) and loaded.options.wide is False
    assert str(tmp_path) not in sys.path


def test_an_example_is_one_where_a_link_leads_to_it(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(ROOT)
    root = tmp_path / "link"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (root, root / "kernels", root / "examples")))}
    script = "import dcgan; from tinygen.training.options import EXAMPLES; assert dcgan.DCGANOptions().program.parent == EXAMPLES"
    subprocess.run([sys.executable, "-c", script], env=environment, cwd=tmp_path, check=True)


def test_what_is_no_run_or_does_not_fit_is_told_in_one_sentence(tmp_path: Path) -> None:
    run = saved_run(tmp_path, "vae")
    path = tmp_path / "checkpoint.safetensors"
    options, parts = run.options, run.parts
    (tmp_path / "other.py").write_text("x = 1")
    (tmp_path / "json.py").write_text("x = 1")
    told: list[tuple[dict[str, object], dict[str, str | Path], str]] = [
        ({"parts": {"model": {k: v for k, v in parts["model"].items() if k != "mean.bias"}}}, {}, "model: this state .* missing mean.bias"),
        ({"parts": {}}, {}, "model: this state does not fit ConvolutionalVAE: missing encoder"),
        ({"options": {**options, "latent": 21}}, {}, r"mean.weight is float32 \(3136, 20\) instead of float32 \(3136, 21\)"),
        ({"options": {**options, "latent": "20"}}, {}, "has options that VAEOptions cannot have: latent cannot be '20'"),
        ({"options": {**options, "latent": -1}}, {}, "has options that VAEOptions cannot have: --latent must be positive, got -1"),
        ({"options": {**options, "latent": 10**14}}, {}, "not enough memory for the networks of .*, or its options are damaged"),
        ({"form": {"shape": "big", "classes": []}}, {}, "is a damaged checkpoint: the form of its data is "),
        ({"form": {"shape": [26, 26, 1], "classes": ["all"]}}, {}, "images of 26x26 do not fit"),
        ({"form": None}, {}, "gone does not exist"),
        ({"script": "../vae"}, {}, "is from ../vae.py, which is not one of tinygen's examples"),
        ({"script": None}, {}, "does not say which script it is from"),
        ({}, {"script": tmp_path / "none.py"}, "none.py does not exist"),
        ({}, {"script": tmp_path / "other.py"}, r"other.py cannot open runs: it needs build\(options, data\) and main\(options"),
        ({}, {"script": tmp_path / "json.py"}, "json.py cannot be imported, since json is the name of another module"),
        ({}, {"device": "gpu"}, 'unknown device "gpu"'),
    ]
    for changes, arguments, message in told:
        dataclasses.replace(run, **changes).save(path)
        with pytest.raises((UsageError, FileNotFoundError), match=message) as error:
            tg.load_run(tmp_path, **arguments)
        assert "\n" not in str(error.value)
    sys.modules.pop("other")
    with pytest.raises(UsageError, match=re.escape(f"{tmp_path / 'none'} is not the folder of a run: it has no checkpoint.safetensors")):
        tg.load_run(tmp_path / "none")
    arrays, metadata = checkpoint.load(path)
    checkpoint.save(path, arrays, metadata | {"form": json.dumps([1])})
    with pytest.raises(UsageError, match="is a damaged checkpoint"):
        tg.load_run(tmp_path)


def test_images_of_another_shape_are_refused(tmp_path: Path) -> None:
    saved_run(tmp_path, "cnn")
    run = tg.load_run(tmp_path)
    probabilities = run.classify(IMAGES)
    assert probabilities.shape == (3, len(run.classes))
    assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    with pytest.raises(UsageError, match=r"takes \(n, 28, 28, 1\), not \(28, 28, 1\)"):
        run.classify(IMAGES[0])
