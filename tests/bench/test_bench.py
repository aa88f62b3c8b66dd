"""The benchmark counts, compares and prints what it should. How long anything takes decides nothing here."""

import math
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy
import pytest
from numpy.testing import assert_allclose
from tinygen_kernels import im2col, reference
from tinygen_kernels.geometry import source_tables

import tinygen
from tinygen.bench import command, roofline, scaling, steps
from tinygen.bench.kernels import OURS, Timing, measure
from tinygen.bench.layers import DIRECTIONS, LAYERS, Direction, Layer
from tinygen.bench.protocol import Protocol, busy_processes, geometric_mean, process, protocols, table
from tinygen.bench.scaling import Point, of_linear

ONE = Protocol(1, wall_clock=False)


@pytest.fixture(autouse=True)
def without_pytorch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same tests whether PyTorch is installed or not. What is PyTorch's the benchmark checks itself, each time it runs."""
    (tmp_path / "torch.py").write_text("raise ImportError")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)


SMALL = [
    Layer(2, (5, 6), 3, 4, 3, 1, 1),
    Layer(2, (8, 8), 3, 4, 3, 2, 1),  # the lowest row of zeros goes unused
    Layer(3, (6, 6), 2, 5, 5, 2, "same"),  # an odd padding
    Layer(2, (6, 7), 2, 3, 3, 2, "same"),  # odd along one axis alone
    Layer(2, (7, 7), 2, 3, 2, 3, "valid"),
    Layer(2, (4, 3), 5, 2, 4, 2, 1, transposed=True),
    Layer(2, (4, 4), 5, 2, 3, 2, 1, transposed=True),
]


class TestLayers:
    def test_flops_are_two_for_each_multiply_add(self) -> None:
        assert Layer.parse("2,5,5,3,7,3,2,1").flops() == 2 * (2 * 3 * 3) * (3 * 3 * 3) * 7
        assert Layer(2, (4, 4), 5, 3, 4, 2, 1, transposed=True).flops() == 2 * (2 * 4 * 4) * (4 * 4 * 5) * 3

    @pytest.mark.parametrize("layer", [*SMALL, *LAYERS], ids=str)
    def test_flops_are_those_of_the_source_tables(self, layer: Layer) -> None:
        c = layer.convolution()
        rows, columns = source_tables(c.size, c.kernel_size, c.stride, c.padding, (1, 1))
        reads = rows.size * columns.size
        assert layer.flops() == 2 * layer.images * reads * layer.channels * layer.outputs

    @pytest.mark.parametrize("layer", SMALL, ids=str)
    def test_arrays_and_bytes(self, layer: Layer) -> None:
        arrays = layer.arrays("float64")
        assert [array.shape for array in arrays] == layer.shapes()
        assert layer.bytes("float64") == sum(array.nbytes for array in arrays)

    def test_a_transposed_layer_is_that_of_the_dcgan(self) -> None:
        c = Layer(64, (4, 4), 256, 128, 4, 2, 1, transposed=True).convolution()
        assert (c.size, c.output, c.channels, c.outputs) == ((8, 8), (4, 4), 128, 256)

    def test_the_list(self) -> None:
        assert len(set(LAYERS)) == 15
        assert str(LAYERS[7]) == "64,28,28,1->64 k5 s2 psame"
        assert str(LAYERS[8]) == "64,4,4,256->128 k4 s2 p1 transposed"

    @pytest.mark.parametrize(
        "text", ["", "1,2,3", "64,28,28,1,32,3,1,-1", "64,28,28,1,32,3,0,1", "64,28,28,1,32,3,1,some", "1,2,2,1,1,3,1,0"]
    )
    def test_what_is_no_layer(self, text: str) -> None:
        with pytest.raises(ValueError):
            Layer.parse(text)


class TestEngines:
    @pytest.mark.parametrize("layer", SMALL, ids=str)
    def test_im2col_is_the_reference(self, layer: Layer) -> None:
        x, w, y = layer.arrays("float64")
        c = layer.convolution()
        geometry = c.stride, c.padding, (1, 1)
        bias = numpy.arange(c.outputs, dtype=float), numpy.arange(c.channels, dtype=float)
        for b in (None, bias):
            along, back = b or (None, None)
            assert_allclose(im2col.conv2d(x, w, along, *geometry), reference.conv2d(x, w, along, *geometry), atol=1e-12)
            expected = reference.conv2d_data(y, w, back, c.size, *geometry)
            assert_allclose(im2col.conv2d_data(y, w, back, c.size, *geometry), expected, atol=1e-12)
        expected = reference.conv2d_weight(x, y, c.kernel_size, *geometry)
        assert_allclose(im2col.conv2d_weight(x, y, c.kernel_size, *geometry), expected, atol=1e-12)

    @pytest.mark.parametrize("direction", DIRECTIONS)
    @pytest.mark.parametrize("layer", SMALL, ids=str)
    def test_all_agree(self, layer: Layer, direction: Direction) -> None:
        timing = measure(layer, direction, "float32", 1, ONE)
        assert timing.wrong == {}
        assert list(timing.seconds) == ["ours", "im2col+BLAS", "reference"]
        assert all(seconds >= 0 for seconds in timing.seconds.values())

    def test_a_wrong_engine_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reference, "conv2d", lambda x, w, *rest: 2 * im2col.conv2d(x, w, *rest))
        assert measure(SMALL[0], "forward", "float64", 1, ONE).wrong == {"reference": 1.0}

    def test_the_reference_is_spared_large_layers(self) -> None:
        assert "reference" not in measure(Layer(8, (32, 32), 32, 64, 3, 1, 1), "forward", "float32", 1, ONE).seconds


class TestProtocol:
    def test_one_thread_by_cpu_time_and_all_by_wall_clock(self) -> None:
        assert protocols(4, "cpu") == [Protocol(1, wall_clock=False), Protocol(4, wall_clock=True)]
        assert protocols(1, "cpu") == [Protocol(1, wall_clock=False)]
        assert "CPU time" in protocols(4, "cpu")[0].describe() and "4 threads by wall clock" in protocols(4, "cpu")[1].describe()

    def test_engines_take_turns(self) -> None:
        calls: list[str] = []
        medians = ONE.medians({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
        assert calls == ["a", "b"] * (len(calls) // 2) and len(calls) >= 6
        assert set(medians) == {"a", "b"}

    def test_a_process_has_its_threads_and_leaves_ours_alone(self) -> None:
        before = dict(os.environ)
        with process(Protocol(3, wall_clock=True)) as worker:
            assert dict(os.environ) == before
            assert worker(os.getenv, "NUMBA_NUM_THREADS") == "3"
            with pytest.raises(ZeroDivisionError):
                worker(divmod, 1, 0)

    def test_busy_processes_compute_until_the_block_ends(self) -> None:
        with busy_processes(2):
            processes = multiprocessing.active_children()
            assert len(processes) == 2 and all(each.is_alive() for each in processes)
        assert not multiprocessing.active_children()

    def test_geometric_mean(self) -> None:
        assert geometric_mean([2, 0.5]) == pytest.approx(1)
        assert geometric_mean([1, 2, 4]) == pytest.approx(2)
        assert math.isnan(geometric_mean([]))

    def test_table(self) -> None:
        assert table([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc   d"]


def test_the_report() -> None:
    layer = Layer(1, (10, 10), 10, 10, 1, 1, 0)  # 20,000 operations
    timings = [
        Timing(layer, "forward", {"ours": 1e-6, "im2col+BLAS": 2e-6, "torch NCHW": 4e-6}, {}),
        Timing(layer, "data", {"ours": 2e-6, "im2col+BLAS": 1e-6, "torch NCHW": 2e-6}, {"torch NCHW": 0.5}),
    ]
    lines = command.report(timings, 40.0)
    assert lines[0].split("  ")[0] == "ms" and lines[0].endswith("torch NCHW  GFLOP/s  of peak  ours/NCHW")
    assert lines[1].split() == [*["1,10,10,10->10", "k1", "s1", "p0", "forward"], "0.001", "0.002", "0.004", "20.0", "50%", "0.25"]
    assert lines[2].split() == [*["1,10,10,10->10", "k1", "s1", "p0", "data"], "0.002", "0.001", "0.002", "10.0", "25%", "1.00"]
    text = "\n".join(lines)
    assert "1,10,10,10->10 k1 s1 p0 data: torch NCHW differs from im2col+BLAS by 5.0e-01" in text
    assert lines[-2].split() == ["im2col+BLAS", "1.00", "0.50", "2.00", "-"]
    assert lines[-1].split() == ["torch", "NCHW", "0.50", "0.25", "1.00", "-"]


def test_the_roofline() -> None:
    dots = [roofline.Dot("under <the> slope", "forward", 1.0, 5.0), roofline.Dot("at the ridge", "weight", 10.0, 100.0)]
    tree = ElementTree.fromstring(roofline.svg(dots, gflops=100.0, gigabytes=10.0, title="a & b"))
    name = "{http://www.w3.org/2000/svg}"
    titled = {circle[0].text: circle for circle in tree.iter(f"{name}circle") if len(circle)}
    assert list(titled) == ["under <the> slope forward: 5.0 GFLOP/s", "at the ridge weight: 100.0 GFLOP/s"]
    corners = [tuple(map(float, corner.split(","))) for corner in tree.findall(f"{name}polyline")[0].attrib["points"].split()]
    below, ridge = ((float(circle.attrib["cx"]), float(circle.attrib["cy"])) for circle in titled.values())
    assert ridge == corners[1]  # 10 operations for each byte, at 10 GB/s, are the peak
    assert corners[0][0] < below[0] < ridge[0] and corners[1][1] < below[1] < corners[0][1]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "tinygen.bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


class TestCommand:
    def test_a_layer_of_one_s_own(self, tmp_path: Path) -> None:
        picture = tmp_path / "roofline.svg"
        arguments = ["--repeats", "1", "--threads", "2", "--layer", "2,8,8,3,4,3,2,1", "--plot", picture]
        result = run(*arguments)
        assert result.returncode == 0, result.stderr
        assert "PyTorch is not installed" in result.stdout
        for protocol in protocols(2, "cpu"):
            assert protocol.describe() in result.stdout
        rows = [line for line in result.stdout.splitlines() if line.startswith("2,8,8,3->4 k3 s2 p1")]
        assert [row.split()[4] for row in rows] == [*DIRECTIONS, *DIRECTIONS]
        assert "differs" not in result.stdout
        assert len([c for c in ElementTree.parse(picture).iter("{http://www.w3.org/2000/svg}circle") if len(c)]) == 3

    def test_help_reads_well(self) -> None:
        result = run("--help")
        assert result.returncode == 0
        for option in (
            "--device",
            "--threads",
            "--repeats",
            "--only",
            "--layer N,H,W,C,K,kernel,stride,padding",
            "--step",
            "--scale",
            "--busy",
            "--plot FILE.svg",
            "--dtype",
            "--ptx",
        ):
            assert option in result.stdout

    @pytest.mark.parametrize(
        "arguments", [["--layer", "1,2"], ["--busy", "-1"], ["--step", "--only", "data"], ["--scale", "--step"], ["--device", "cuda"]]
    )
    def test_what_cannot_be_is_one_sentence(self, arguments: list[str]) -> None:
        result = run(*arguments)
        assert result.returncode == 1
        assert result.stderr.startswith("bench: ") and result.stderr.count("\n") == 1


class TestScaling:
    def test_a_time_that_grows_as_the_work_of_a_thread_is_linear(self) -> None:
        one, four = (Layer(n, (8, 8), 3, 4, 3, 1, 1) for n in (1, 4))
        before = Point("batch", 1, one, 2, {OURS: 0.5})
        assert of_linear(before, Point("batch", 4, four, 2, {OURS: 2.0})) == 1
        assert of_linear(before, Point("batch", 4, four, 2, {OURS: 3.0})) == 1.5
        assert of_linear(before, Point("threads", 4, one, 4, {OURS: 0.25})) == 1

    def test_every_scale_is_measured_printed_and_drawn(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(scaling, "SCALES", {"batch": ([1, 2], lambda n: Layer(n, (8, 8), 3, 4, 3, 2, 1))})
        monkeypatch.setattr(scaling, "THREADS", ("threads", Layer(2, (8, 8), 3, 4, 3, 2, 1)))
        picture = tmp_path / "scaling.svg"
        scaling.main(2, 1, "float32", picture)
        rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(("batch ", "threads "))]
        assert [row[:2] for row in rows] == [["batch", "1"], ["batch", "2"], ["threads", "1"], ["threads", "2"]]
        assert [row[-1] == "-" for row in rows] == [True, False, True, False]
        assert len(list(ElementTree.parse(picture).iter("{http://www.w3.org/2000/svg}polyline"))) == 2


class TestSteps:
    @pytest.mark.parametrize("name", steps.EXAMPLES)
    def test_the_steps_are_the_examples_own(self, name: str) -> None:
        (row,) = steps.compare(name, [steps.OURS], ONE, 1)
        assert row[:2] == (name, steps.OURS) and row[3] == "1.00"
        assert float(row[4]) > 30  # MB

    def test_alone_and_beside_busy_processes(self) -> None:
        (row,) = steps.compare_busy("vae", [steps.OURS], ONE, 1, 1)
        name, engine, alone, ratio, beside, ratio_beside, longer = row
        assert (name, engine, ratio, ratio_beside) == ("vae", steps.OURS, "1.00", "1.00")
        assert math.isclose(float(longer), float(beside) / float(alone), rel_tol=0.1)

    def test_without_the_examples(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(tinygen, "__file__", str(tmp_path / "tinygen" / "__init__.py"))
        with pytest.raises(ValueError, match="come with tinygen's repository"):
            steps.main([ONE], 1, with_torch=False, busy=0)
