"""The program `tinygen`: its commands write what their options say, the same every time, and its help is one screen."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy
import onnx
import pytest
from PIL import Image
from repository import ROOT
from saved_run import saved_run

import tinygen as tg
from tinygen.command_line import UsageError
from tinygen.commands import program
from tinygen.commands.export import export
from tinygen.report.pictures import grid
from tinygen.saving import checkpoint
from tinygen.saving.run_folder import RunFolder

Tinygen = Callable[..., str]


@pytest.fixture
def tinygen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Tinygen:
    """Runs a command in a folder of its own, and gives what it printed; a failure raises SystemExit with the message."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["tinygen", *arguments])
        try:
            program.run()
        except SystemExit as stopped:
            raise SystemExit(capsys.readouterr().err or stopped.code) from None
        return capsys.readouterr().out

    return command


def test_samples_are_a_picture_arrays_or_a_folder(tinygen: Tinygen, tmp_path: Path) -> None:
    saved_run(tmp_path / "run", "vae")
    images = tg.load_run("run").sample(6, seed=2)
    assert tinygen("sample", "run", "--n", "6", "--seed", "2") == f"6 images: {Path('run', 'sample.png')}\n"
    with Image.open("run/sample.png") as picture:
        numpy.testing.assert_array_equal(numpy.asarray(picture)[..., None], grid(images))
    tinygen("sample", "run", "--n", "6", "--seed", "2", "--out", "images.npz")
    with numpy.load("images.npz") as arrays:
        pixels = arrays["images"]
    assert pixels.shape == (6, 28, 28, 1) and pixels.dtype == numpy.uint8
    tinygen("sample", "run", "--n", "6", "--seed", "2", "--out", "folder")
    files = sorted(Path("folder").iterdir())
    assert [file.name for file in files] == [f"0000{i}.png" for i in range(6)]
    numpy.testing.assert_array_equal([numpy.asarray(Image.open(file)) for file in files], pixels[..., 0])


def test_a_walk_goes_from_seed_to_seed(tinygen: Tinygen, tmp_path: Path) -> None:
    saved_run(tmp_path / "run", "vae")
    run = tg.load_run("run")
    ways = [run.interpolate(4, 5, 4), run.interpolate(5, 6, 4)]
    walk = ("interpolate", "run", "--seeds", "4", "5", "6", "--steps", "4", "--out")
    assert tinygen(*walk, "walk.png") == "8 images: walk.png\n"
    with Image.open("walk.png") as picture:
        numpy.testing.assert_array_equal(numpy.asarray(picture)[..., None], grid(numpy.concatenate(ways), columns=4))
    assert tinygen(*walk, "walk.gif") == "7 images: walk.gif\n"
    with Image.open("walk.gif") as film:
        assert (film.n_frames, film.size, film.info["duration"]) == (7, (252, 252), 100)
    first = Path("walk.gif").read_bytes()
    tinygen(*walk, "walk.gif")
    assert Path("walk.gif").read_bytes() == first
    tinygen("interpolate", "run")
    assert Path("run/interpolation.gif").exists()


def test_a_walk_from_class_to_class(tinygen: Tinygen, tmp_path: Path) -> None:
    saved_run(tmp_path / "run", "cgan")
    tinygen("interpolate", "run", "--seeds", "0", "0", "--classes", "class 1", "7", "--steps", "2", "--out", "walk.npz")
    with numpy.load("walk.npz") as arrays:
        expected = tg.load_run("run").sample(2, classes=[1])[:1], tg.load_run("run").sample(1, classes=[7])
        numpy.testing.assert_allclose(arrays["images"], numpy.concatenate(expected) * 255, atol=0.51)


def test_names_are_printed_and_kept(tinygen: Tinygen, tmp_path: Path) -> None:
    saved_run(tmp_path / "run", "attention_names")
    printed = tinygen("sample", "run", "--n", "7", "--seed", "3", "--out", "names.txt")
    assert printed == Path("names.txt").read_text() == "\n".join(tg.load_run("run").write(7, 3)) + "\n"


def test_reports_are_written_where_they_should_be(tinygen: Tinygen, tmp_path: Path) -> None:
    for name, script in (("one", "vae"), ("two", "cnn")):
        saved_run(tmp_path / name, script)
    assert tinygen("report", "one") == f"report: {Path('one', 'report.html')}\n"
    assert tinygen("report", "one", "two", "--out", "both.html") == "report: both.html\n"
    both = Path("both.html").read_text()
    assert '"name": "one"' in both and '"name": "two"' in both
    assert both.count('"plane": "data:') == 1, "a VAE has a latent space, a CNN has none"


def test_networks_are_exported_in_every_format(tinygen: Tinygen, tmp_path: Path) -> None:
    saved_run(tmp_path / "run", "cgan")
    saved_run(tmp_path / "vae", "vae")
    networks = tg.load_run("run").networks
    assert tinygen("export", "run", "--to", "onnx").splitlines() == [str(Path("run/export", f"{name}.onnx")) for name in networks]
    assert [x.name for x in onnx.load("run/export/generator.onnx").graph.input] == ["z", "labels"]
    tinygen("export", "vae", "--to", "onnx")
    assert sorted(path.name for path in Path("vae/export").iterdir()) == ["decoder.onnx", "encoder.onnx"]
    printed = tinygen("export", "run", "--to", "torch", "--out", "weights")
    assert 'generator.load_state_dict(load_file("generator.torch.safetensors"))\n' in printed
    compile(printed, "printed", "exec")  # the paths are comments
    for file, to in (("generator.safetensors", "safetensors"), ("generator.npz", "npz")):
        tinygen("export", "run", "--to", to, "--out", "weights")
        state = checkpoint.load(f"weights/{file}")[0] if to == "safetensors" else dict(numpy.load(f"weights/{file}"))
        networks["generator"].load_state_dict(state)
    state, _ = checkpoint.load("weights/generator.torch.safetensors")
    assert state["network.4.weight"].shape == (256, 128, 4, 4)
    saved_run(tmp_path / "names", "attention_names", similarity="cosine")
    with pytest.raises(SystemExit, match=r"have no place for blocks\.0\.attention\.scale"):
        tinygen("export", "names", "--to", "torch")
    assert not Path("names/export").exists()
    with pytest.raises(SystemExit, match=r"generator\.npz is not a folder; give another --out"):
        tinygen("export", "run", "--to", "npz", "--out", "weights/generator.npz")


def test_networks_that_take_other_inputs_are_refused(tmp_path: Path) -> None:
    saved_run(tmp_path / "run", "cnn")
    run = tg.load_run(tmp_path / "run")
    run.shape = (8, 8, 3)
    message = r'model does not take inputs \(1, 8, 8, 3\): .* 3 channels .*; .*onnx_graph\(load_run\(...\).networks\["model"\], '
    with pytest.raises(UsageError, match=message):
        export(run, tmp_path / "export", "onnx")
    assert not (tmp_path / "export").exists()


def test_the_table_of_runs_tells_their_states(tinygen: Tinygen, tmp_path: Path) -> None:
    finished = saved_run(tmp_path / "runs" / "a" / "finished", "vae", epochs=2)
    (tmp_path / "runs" / "a" / "finished" / "log.jsonl").write_text(
        '{"epoch": 1, "seconds": 3600.4, "D": 2.0}\n{"epoch": 2, "seconds": 61, "D": 1.23456, "G": null}\n'
    )
    saved_run(tmp_path / "runs" / "stopped", "dcgan", epochs=30)
    for damaged in ("damaged", "lost"):
        saved_run(tmp_path / "runs" / damaged, "dcgan")
        (tmp_path / "runs" / damaged / "checkpoint.safetensors").write_bytes(b"nothing")
    finished.save(tmp_path / "runs" / "damaged" / "checkpoint.previous.safetensors")
    with RunFolder(tmp_path / "runs" / "stopped").locked():
        lines = [line.split("  ") for line in tinygen("runs").splitlines()]
    table = [[cell.strip() for cell in line if cell] for line in lines]
    assert table[0] == ["run", "script", "epochs", "time", "state", "last numbers"]
    assert table[1] == [str(Path("runs/a/finished")), "vae", "2 of 2", "1:01:01", "finished", "D 1.235"]
    assert table[2][:5] == [str(Path("runs/damaged")), "vae", "2 of 2", "0:00", "finished"]
    assert "its predecessor is taken, of 2 epochs and 0 batches" in table[2][5]
    assert table[3][:2] == [str(Path("runs/lost")), "unreadable"] and "cannot be loaded" in table[3][2]
    assert table[4] == [str(Path("runs/stopped")), "dcgan", "2 of 30", "0:00", "training"]
    other = dataclasses.replace(finished, options={}, script=None)
    (tmp_path / "runs" / "other").mkdir()
    other.save(RunFolder(tmp_path / "runs" / "other").checkpoint)
    assert tinygen("runs", "runs/other").split()[-4:] == ["runs/other", "2", "0:00", "stopped"]
    (tmp_path / "runs" / "stopped" / ".lock").touch()  # as a process leaves it that was killed
    assert tinygen("runs", "runs/stopped").splitlines()[1].endswith("stopped")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sample", "none"), "none is not the folder of a run: it has no checkpoint.safetensors"),
        (("sample", "cnn"), "this model cannot sample; it can classify"),
        (("sample", "vae", "--n", "0"), "n must be at least 1, got 0"),
        (("sample", "vae", "--seed", "-1"), "seed must be at least 0, got -1"),
        (("sample", "vae", "--out", "a.jpg"), "a.jpg must end in .png, .gif, .npz, or have no suffix and be a folder"),
        (("sample", "vae", "--out", "vae"), "vae is not an empty folder; give another one"),
        (("sample", "vae", "--out", "none/a.png"), "the folder none does not exist"),
        (("sample", "names", "--out", "a.png"), "a.png must end in .txt: the samples of this run are names"),
        (("interpolate", "vae", "--seeds", "1"), "--seeds needs at least two"),
        (("interpolate", "vae", "--steps", "1"), "steps must be at least 2, the two ends, got 1"),
        (("report", "vae", "cnn"), "--out must say where the report of several runs is written"),
        (("runs", "none"), "none is not a folder; give the one that the runs are in"),
        (("report", "none"), "none is not the folder of a run: it has no checkpoint.safetensors"),
        (("interpolate", "names"), "this model cannot sample; it can write"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(tinygen: Tinygen, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    for name, example in {"vae": "vae", "cnn": "cnn", "names": "attention_names"}.items():
        saved_run(tmp_path / name, example)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as error:
        tinygen(*arguments)
    assert str(error.value).strip() == f"tinygen: {message}"
    assert sorted(tmp_path.rglob("*")) == before


def test_help_has_a_sentence_for_each_command_and_each_command_s_has_all() -> None:
    def told(*arguments: str) -> str:
        return subprocess.run([sys.executable, "-m", "tinygen", *arguments], capture_output=True, text=True, cwd=ROOT, check=True).stdout

    short = told("--help")
    assert short.startswith("usage: tinygen ") and len(short.splitlines()) <= 40
    for name in program.COMMANDS:
        assert f"• {name} " in short
    text = told("interpolate", "--help")
    assert "tinygen interpolate runs/dcgan" in text and "--seeds SEED ..." in text
