"""Every example, used as a user would, on a few images for a few steps."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dcgan
import lsgan
import numpy
import pytest
import vae
from PIL import Image
from repository import EXAMPLES, ROOT

import tinygen
from tinygen.command_line import UsageError
from tinygen.data import load_images
from tinygen.saving import checkpoint
from tinygen.saving.run_folder import read_run

SMALL = {name: ["--width", "8", "--steps", "2"] for name in ("flow", "diffusion", "superresolution")}  # they generate step by step
SMALL["realnvp"] = ["--width", "8", "--couplings", "2"]
SMALL["vqvae"] = ["--autoencoder-epochs", "1"]  # the prior's turn comes, too
# Where the learning rate falls to the end of the run, a run cannot be gone on with for more epochs.
SMALL |= {name: ["--schedule", "constant"] for name in ("cgan", "dcgan", "lsgan")}
FEW_IMAGES = "96 training and 30 test images of (28x28x1|32x32x[13])"
COUNTS = {
    "attention_names": r"96 training and 11 test names of up to \d+ of \d+ characters",
    "transformer": "3,114 training and 346 test bytes",
}


def run(example: str, *arguments: str | Path, threads: int = 2) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "examples" / f"{example}.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"NUMBA_NUM_THREADS": str(threads)})


def arrays(folder: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in checkpoint.load(folder / "checkpoint.safetensors")[0].items()}


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_trains_resumes_and_leaves_the_same_bits_on_one_thread(
    example: str, few_data: Callable[[str], Path], tmp_path: Path
) -> None:
    data, counts = few_data(example), COUNTS.get(example, FEW_IMAGES)
    common = ["--data", data, "--batch-size", "32", *SMALL.get(example, [])]
    whole = run(example, *common, "--epochs", "2", "--out", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    assert re.search(rf"^data: {data}.*, {counts}$", whole.stdout, re.MULTILINE)
    assert "epoch 2/2  " in whole.stdout
    with Image.open(tmp_path / "whole" / "samples" / "epoch-002.png") as picture:
        assert numpy.asarray(picture).std() > 5
    with Image.open(tmp_path / "whole" / "samples.gif") as film:
        assert film.n_frames == 2

    for resume in ([], ["--resume"]):
        part = run(example, *common, "--epochs", "2" if resume else "1", "--out", tmp_path / "parts", *resume, threads=1)
        assert part.returncode == 0, part.stderr
    assert arrays(tmp_path / "parts") == arrays(tmp_path / "whole")

    finished = read_run(tmp_path / "whole" / "checkpoint.safetensors")
    assert (finished.script, finished.example) == ("vae" if example == "inpaint" else example, True)
    loaded = tinygen.load_run(tmp_path / "whole")
    assert {name for name in finished.parts if not name.startswith("adam") and not name.endswith("_average")} == set(loaded.networks)
    if (tmp_path / "whole" / "generated.safetensors").exists():
        generated = checkpoint.load(tmp_path / "whole" / "generated.safetensors")[0]["images"]
        tinygen.set_random_state(finished.random)
        with tinygen.no_grad():
            again = loaded.trained.decode(loaded.trained.draw(100)).numpy()
        numpy.testing.assert_array_equal(numpy.rint(numpy.clip(again, 0, 1) * 255), generated[:100])


@pytest.mark.parametrize(
    ("example", "flags"),
    [
        ("gan", ["--conv-discriminator"]),
        ("gan", ["--conv-discriminator", "--data", "emoji", "--classes", "Activities"]),
        ("recurrent_gan", ["--cell", "lstm"]),
        ("wgan", ["--penalty"]),
        ("wgan", ["--spectral-norm"]),
        ("dcgan", ["--residual"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_variant_trains(example: str, flags: list[str], few_images: Path, tmp_path: Path) -> None:
    result = run(example, "--data", few_images, *flags, "--batch-size", "64", "--epochs", "1", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^epoch 1/1  .* diversity [\d.]+  ", result.stdout, re.MULTILINE)
    made = checkpoint.load(tmp_path / "generated.safetensors")[0]["images"]
    assert made.shape[3] == (3 if "emoji" in flags else 1)


def test_a_clipped_critic_s_weights_stay_within_the_limit(few_images: Path, tmp_path: Path) -> None:
    result = run("wgan", "--data", few_images, "--batch-size", "32", "--epochs", "1", "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    saved = checkpoint.load(tmp_path / "checkpoint.safetensors")[0]
    largest = max(numpy.abs(array).max() for name, array in saved.items() if name.startswith("parts/discriminator/"))
    assert largest == numpy.float32(0.03)  # weights of 0.02 z begin beyond it


def test_a_run_is_not_gone_on_with_by_another_example(few_images: Path, tmp_path: Path) -> None:
    common = {"data": few_images, "batch_size": 96, "out": tmp_path}
    dcgan.main(dcgan.DCGANOptions(**common, epochs=1))
    with pytest.raises(UsageError, match="is from a run of dcgan, which lsgan cannot resume"):
        lsgan.main(lsgan.LSGANOptions(**common, epochs=2, resume=True))


def test_the_same_images_elsewhere_are_gone_on_with_and_others_in_their_place_are_not(
    few_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(few_images, "images")

    def go_on(data: str | Path, epochs: int) -> None:
        vae.main(vae.VAEOptions(data=Path(data), batch_size=96, out=Path("run"), epochs=epochs, resume=epochs > 1))

    go_on("images", 1)
    go_on(tmp_path / "images", 2)
    Path("images").rename("moved")
    go_on("moved", 3)
    shutil.copytree("moved", "images")
    labels = Path("images", "train-labels-idx1-ubyte")
    labels.write_bytes(labels.read_bytes()[:-1] + b"\0" if labels.read_bytes()[-1] else labels.read_bytes()[:-1] + b"\1")
    with pytest.raises(UsageError, match="images holds other data than those that the run of "):
        go_on("images", 4)


def test_inpaint_fills_in_what_is_hidden_with_the_vae_that_is_there(few_images: Path, tmp_path: Path) -> None:
    common = ["--data", few_images, "--batch-size", "32", "--epochs", "1", "--out", tmp_path]
    for arguments in (["vae", *common], ["inpaint", *common, "--resume"]):
        result = run(*arguments)
        assert result.returncode == 0, result.stderr
    assert "resuming after 1 epochs and 0 batches" in result.stdout
    data = load_images(few_images)
    train, test = data.train_images / 255, data.test_images / 255
    closest = [train[((train - image)[:, :14] ** 2).sum(axis=(1, 2, 3)).argmin()] for image in test]
    for filling, name in ((numpy.array(closest), "nearest"), (train.mean(axis=0), "mean")):
        expected = ((filling - test)[:, 14:] ** 2).sum(axis=(1, 2, 3)).mean()
        assert f"{expected:.1f} by the {name} training image" in result.stdout
    assert (tmp_path / "findings.txt").read_text() in result.stdout
    with Image.open(tmp_path / "inpainted.png") as picture:
        whole, masked, *filled = (numpy.asarray(picture)[60 * row : 60 * row + 56] for row in range(4))  # 28 pixels, twice, and a gap
    for made in filled:
        numpy.testing.assert_array_equal(made[:28], whole[:28])
        assert made[28:].std() > 20 and (made[28:] != whole[28:]).any()
    numpy.testing.assert_array_equal(masked[:28], whole[:28])
    assert numpy.unique(masked[28:]).tolist() == [128, 255]  # grey, and the gaps between the images


@pytest.mark.parametrize("example", EXAMPLES)
def test_help_reads_well(example: str) -> None:
    text = run(example, "--help").stdout
    for option in ("--device", "--seed", "--epochs", "--batch-size", "--data", "--out", "--resume", "--lr"):
        assert f"{option} " in text
    assert f"python examples/{example}.py" in text
    assert "the run's folder" in text


def test_bad_input_is_told_in_one_sentence(few_images: Path, tmp_path: Path) -> None:
    empty, damaged, occupied = tmp_path / "empty", tmp_path / "damaged", tmp_path / "occupied"
    for folder in (empty, damaged, occupied):
        folder.mkdir()
    for file in few_images.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes())
    (damaged / "train-labels-idx1-ubyte").write_bytes((few_images / "train-labels-idx1-ubyte").read_bytes()[:-6])
    (occupied / "checkpoint.safetensors").write_bytes(b"not a checkpoint")
    out = ["--out", tmp_path / "run"]
    cases = [
        (["--data", empty, *out], f"{empty} holds no images that can be read: no IDX files (train-images-idx3-ubyte, ...), "),
        (["--data", tmp_path / "none", *out], f"{tmp_path / 'none'} does not exist"),
        (["--data", few_images, *out, "--crop", "29"], f"{few_images}: an image of 28x28 pixels has no central 29x29"),
        (["--data", damaged, *out], "holds 90 bytes of data where its header, (96,) of uint8, promises 96"),
        (["--data", few_images, *out, "--batch-size", "97"], "batch_size must be 1 to 96, the number of examples, not 97"),
        (["--data", few_images, *out, "--device", "gpu"], 'unknown device "gpu": devices are "cpu", "cuda" and "cuda:1", "cuda:2", ...'),
        (["--data", few_images, *out, "--lr", "-1"], "--lr must be positive, got -1.0"),
        (["--data", few_images, *out, "--latent", "0"], "--latent must be positive, got 0"),
        (["--data", few_images, *out, "--size", "30"], "images of 30x30 do not fit: height and width must be divisible by 4; --size 32"),
        (["--data", few_images, *out, "--seed", "-1"], "--seed must be 0 to 2**64 - 1, got -1"),
        (
            ["--data", few_images, *out, "--resume"],
            f"there is nothing to resume: {tmp_path / 'run' / 'checkpoint.safetensors'} does not exist",
        ),
        (["--data", few_images, "--out", occupied], f"{occupied} already holds a run"),
        (["--data", few_images, "--out", occupied, "--resume"], f"{occupied / 'checkpoint.safetensors'} cannot be loaded: "),
    ]
    for arguments, message in cases:
        result = run("vae", *arguments)
        assert result.returncode == 1
        assert result.stderr.startswith("vae.py: ") and result.stderr.count("\n") == 1
        assert message in result.stderr
        assert not (tmp_path / "run").exists()
    assert (occupied / "checkpoint.safetensors").read_bytes() == b"not a checkpoint"


def test_a_run_whose_loss_is_not_a_number_stops_with_the_checkpoint_of_before(few_images: Path, tmp_path: Path) -> None:
    result = run("vae", "--data", few_images, "--lr", "1e6", "--out", tmp_path)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    checkpoint_file = tmp_path / "checkpoint.safetensors"
    told = result.stderr.splitlines()[-1]
    assert re.match("vae.py: -ELBO is nan .* in epoch 2, batch 1, after -ELBO .* in the batch before; ", told)
    assert told.endswith(f"; --lr 1e+06 may be too large; {checkpoint_file} keeps the state after 1 epochs and 0 batches")
    assert all(numpy.isfinite(array).all() for array in read_run(checkpoint_file).parts["model"].values())


@pytest.mark.parametrize(
    ("example", "arguments", "message"),
    [
        ("cnn", ["--size", "7"], "images of 7x7 are too small, three poolings need 8x8; --size 32 resizes them"),
        ("autoencoder", ["--size", "4"], "images of 4x4 do not fit: height and width must be divisible by 4, and 8 at least; --size 32"),
        ("flow", ["--size", "30"], "images of 30x30 do not fit: height and width must be divisible by 4; --size 32 resizes them"),
        ("flow", ["--width", "12"], "--width must be a multiple of 8, the number of groups of channels, got 12"),
        ("flow", ["--guidance", "-1"], "--guidance must be at least 0, got -1.0"),
        ("dcgan", ["--size", "129"], "images of 129x129 do not fit into 128x128; --size 128 makes them smaller"),
        ("dcgan", ["--batch-size", "1"], "--batch-size must be at least 2"),
        ("gan", ["--wide", "--conv-discriminator"], "--wide and --conv-discriminator are two pairs of networks: choose one"),
        ("wgan", ["--penalty", "--spectral-norm"], "--penalty and --spectral-norm are two ways to bound the critic's slope: choose one"),
        ("wgan", ["--critic-steps", "0"], "--critic-steps must be positive, got 0"),
    ],
)
def test_options_that_do_not_fit_are_told_in_one_sentence(
    example: str, arguments: list[str], message: str, few_images: Path, tmp_path: Path
) -> None:
    result = run(example, "--data", few_images, "--batch-size", "32", *arguments, "--out", tmp_path / "run")
    assert result.returncode == 1 and not (tmp_path / "run").exists()
    assert result.stderr.startswith(f"{example}.py: ") and result.stderr.count("\n") == 1 and message in result.stderr
