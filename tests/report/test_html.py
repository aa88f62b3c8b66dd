import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy
import pytest
from folders import DETAILS, evaluation, run_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from PIL import Image
from small_run import contents, small_run

from tinygen.command_line import UsageError
from tinygen.report import html
from tinygen.report.contents import read_contents
from tinygen.report.frames import frames
from tinygen.report.hints import findings
from tinygen.report.html import LIMIT, charts, page, write_report
from tinygen.report.pictures import grid, save_png

LOG = [{"D": 1.3, "G": 0.8, "diversity": 0.6 + 0.02 * epoch} for epoch in range(15)]
VOID = {"meta", "link", "input", "img", "br"}


class Structure(HTMLParser):
    """Checks that every tag is closed, in order, and gathers texts, attributes and the JSON."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"<{tag}/> is not HTML"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open[-1:] == ["script"] else self.texts).append(data)

    @property
    def data(self) -> dict:
        return json.loads(self.scripts[0])


def structure_of(*folders: Path) -> Structure:
    return Structure(page([read_contents(folder) for folder in folders]))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folder(tmp_path_factory.mktemp("runs") / "good", LOG, {"lr": 0.1}, evaluation(), DETAILS)


class TestPage:
    def test_it_is_well_formed_and_asks_for_nothing(self, run: Path) -> None:
        found = structure_of(run)
        addresses = [value for name, value in found.attributes if name in ("src", "href")]
        assert addresses == ["data:,"]
        assert any("default-src 'none'" in value for name, value in found.attributes if name == "content")
        whole = page([read_contents(run)])
        assert set(re.findall(r"https?://[^\"' ]+", whole)) == {"http://www.w3.org/2000/svg"}
        assert "@import" not in whole and set(re.findall(r"url\((.*?)\)", whole)) == {"${address}"}

    def test_it_has_all_that_the_run_left(self, run: Path) -> None:
        found = structure_of(run)
        texts = " ".join(found.texts)
        for text in ("good", "gan.py · 15 of 15 epochs · 22 s", "Nothing looks wrong", "0.800 ± 0.010", "0.960 ± 0.010", "Dense(2 -> 3)"):
            assert text in texts, text
        for text in ("abacus", "MatMul forward", "10.0%", "lr", "0" * 64):
            assert text in texts, text
        (described,) = found.data["runs"]
        assert list(described["frames"]) == [str(epoch) for epoch in range(1, 16)]
        assert [(chart["title"], [curve["name"] for curve in chart["curves"]]) for chart in found.data["charts"]] == [
            ("losses of D and G", ["D", "G"]),
            ("diversity", ["diversity"]),
        ]

    def test_names_cannot_break_it(self, tmp_path: Path) -> None:
        evil = "<b>&\"'</script><script>alert(1)"
        judged = evaluation()
        judged["class_shares"]["generated"][evil] = judged["class_shares"]["test_images"][evil] = {"value": 0.5, "margin": 0.1}
        details = {**DETAILS, "models": {evil: evil}, "machine": {evil: evil}}
        folder = run_folder(tmp_path / evil.replace("/", "\\"), [{evil: 1.0}, {evil: 2.0}], {evil: evil}, judged, details)
        save_png(folder / "<i>.png", grid(numpy.zeros((1, 4, 4, 1))))
        harmless = structure_of(run_folder(tmp_path / "harmless", [{"a": 1.0}] * 2, {"a": 1}, evaluation(), DETAILS))
        found = structure_of(folder)
        assert len(found.scripts) == len(harmless.scripts) == 2 and found.scripts[1] == harmless.scripts[1]
        assert found.data["charts"][0]["title"] == evil
        assert list(found.data["runs"][0]["pictures"]) == ["<i>"]
        assert found.texts.count(evil) >= 6

    def test_several_runs_share_charts_and_show_what_differs(self, tmp_path: Path, run: Path) -> None:
        other = run_folder(tmp_path / "other", LOG[:5], {"lr": 0.2, "seed": 1}, evaluation(), DETAILS)
        whole = page([read_contents(run), read_contents(other)])
        assert "<mark>0.1</mark>" in whole and "<mark>0.2</mark>" in whole and "<mark>1</mark>" not in whole
        data = Structure(whole).data
        assert [(curve["run"], curve["name"], curve["colour"]) for curve in data["charts"][0]["curves"]] == [
            (0, "D", 0),
            (0, "G", 0),
            (1, "D", 1),
            (1, "G", 1),
        ]
        assert whole.count("training images</span>") == 1, "equal baselines are one"

    def test_runs_with_the_same_name_are_told_apart_by_their_paths(self, tmp_path: Path) -> None:
        folders = [run_folder(tmp_path / parent / "run", LOG[:2]) for parent in "ab"]
        assert [each["name"] for each in structure_of(*folders).data["runs"]] == [str(folder) for folder in folders]

    def test_a_test_loss_and_a_baseline_are_drawn_with_their_loss(self, tmp_path: Path) -> None:
        lines = [{"error": 3.0 - i, "test_error": 3.5 - i, "PCA_error": 2.0, "of_its_own": i} for i in range(3)]
        (errors, own) = charts({"run": read_contents(run_folder(tmp_path / "run", lines))})
        assert [(curve["name"], curve["baseline"]) for curve in errors["curves"]] == [
            ("error", False),
            ("test_error", False),
            ("PCA_error", True),
        ]
        assert own["title"] == "of_its_own"

    def test_a_run_without_log_or_pictures_has_a_page(self, tmp_path: Path) -> None:
        found = structure_of(run_folder(tmp_path / "run", []))
        assert found.data["charts"] == [] and found.data["runs"][0]["frames"] == {}


class TestSize:
    def test_pictures_of_long_runs_are_compressed_and_thinned_out(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert html.PICTURES + 400_000 < LIMIT
        monkeypatch.setattr(html, "PICTURES", 40_000)
        folders = [run_folder(tmp_path / name, [{"loss": 1.0}] * 12, shape=(9, 16, 16, 3)) for name in ("a", "b")]
        found = structure_of(*folders)
        for described in found.data["runs"]:
            epochs = [int(epoch) for epoch in described["frames"]]
            assert 2 < len(epochs) < 12 and epochs[-1] == 12
            assert 15_000 < sum(map(len, described["frames"].values())) <= 20_000

    def test_frames_that_turn_out_larger_than_expected_keep_the_budget(self, tmp_path: Path) -> None:
        noise = numpy.random.default_rng(0).random((1, 64, 64, 1))
        for i in range(9):
            save_png(tmp_path / f"{i}.png", grid(noise if i % 4 else 0 * noise))
        kept = frames({i: tmp_path / f"{i}.png" for i in range(9)}, 12_000)
        assert 1 < len(kept) < 9 and 8 in kept
        assert sum(map(len, kept.values())) <= 12_000

    def test_too_many_runs_are_refused(self, tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(html, "LIMIT", 1000)
        with pytest.raises(UsageError, match=r"1 runs has \d+,\d+ bytes, and 1,000 are the limit"):
            write_report([run], tmp_path / "report.html")
        assert not (tmp_path / "report.html").exists()

    def test_within_the_budget_no_pixel_changes(self, run: Path) -> None:
        pictures = read_contents(run).pictures
        for epoch, address in frames(pictures, 10**6).items():
            with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as frame, Image.open(pictures[epoch]) as picture:
                assert_array_equal(numpy.asarray(frame.convert("L")).repeat(2, axis=0).repeat(2, axis=1), numpy.asarray(picture))


GOOD_VAE = [{"KL": 9.0 + epoch, "test_KL": 9.0, "-ELBO": 300.0 - epoch, "test_-ELBO": 310.0 - epoch} for epoch in range(9)]


class TestHints:
    @pytest.mark.parametrize(
        ("log", "judged", "word"),
        [
            (LOG, evaluation(), None),
            (GOOD_VAE, None, None),
            ([*LOG, {"D": None, "G": 0.8, "diversity": 0.9}], None, "D is not a finite number in epoch 16"),
            ([{"D": 0.4 / 2**epoch, "D(x)": 0.9} for epoch in range(9)], None, "D's loss fell to 0.0036"),
            ([{"D": -0.4 / 2**epoch} for epoch in range(9)], None, None),
            ([{"D": 1.0, "diversity": 0.9}] * 5 + [{"D": 1.0, "diversity": 0.1}] * 4, None, "mode collapse.*0.1, after 0.90"),
            ([{"diversity": 1.0}] * 5 + [{"diversity": 0.7}] * 4, None, "mode collapse"),
            ([{"diversity": 1.3}] * 5, None, "may be noise"),
            ([{"D": 1.0}] * 6 + [{"D": 90.0}] * 3, None, "D has grown to 90"),
            ([{"KL": 0.01, "test_KL": 0.01}] * 4, None, "posterior collapse"),
            ([{"loss": 1.0, "test_loss": 1.0 + abs(epoch - 4) / 10} for epoch in range(10)], None, "lowest in epoch 5.*overfits"),
            (LOG, evaluation(bag=0.005), "Hardly any generated image is of the class Bag"),
            (LOG, evaluation(copies=0.2), "20% of the generated images are nearer"),
        ],
    )
    def test_what_looks_wrong_is_said(self, log: list, judged: dict | None, word: str | None, tmp_path: Path) -> None:
        folder = run_folder(tmp_path / "run", log, judged=judged, shape=(1, 1, 1, 1))
        wrong = [finding.text for finding in findings(read_contents(folder)) if finding.wrong]
        if word is None:
            assert wrong == []
        else:
            (text,) = wrong
            assert re.search(word, text), text
            assert "Something looks wrong" in page([read_contents(folder)])


class TestDamage:
    def test_a_folder_without_a_run_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"is not the folder of a run: it has no checkpoint\.safetensors"):
            write_report([tmp_path], tmp_path / "report.html")

    @pytest.mark.parametrize("file", ["log.jsonl", "evaluation.json", "details.json", "samples/epoch-015.png", "checkpoint.safetensors"])
    @settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(changes=st.data())
    def test_damaged_files_give_a_page_or_one_sentence(self, file: str, changes: st.DataObject, tmp_path: Path, run: Path) -> None:
        path = run / file
        intact = path.read_bytes()
        damaged = bytearray(intact[: changes.draw(st.integers(0, len(intact)))])
        for _ in range(changes.draw(st.integers(0, 3)) if damaged else 0):
            damaged[changes.draw(st.integers(0, len(damaged) - 1))] = changes.draw(st.sampled_from(b'"0-[]{}:,en\xff\x00'))
        path.write_bytes(damaged)
        try:
            structure_of(run)
        except UsageError as error:
            assert str(path) in str(error)
        finally:
            path.write_bytes(intact)

    @pytest.mark.parametrize(
        "line",
        [
            '{"epoch": 1, "D": "high"}',
            '{"D": 1}',
            "[" * 100_000,
            '{"epoch": 1.5}',
            '{"epoch": 1}\n{"epoch": 1}',
            f'{{"epoch": 1{"0" * 400}}}\n{{"epoch": 1}}',
        ],
    )
    def test_a_log_that_makes_no_sense_is_refused(self, line: str, tmp_path: Path) -> None:
        folder = run_folder(tmp_path / "run", LOG[:1])
        (folder / "log.jsonl").write_text(line + "\n")
        with pytest.raises(UsageError, match=r"log\.jsonl, line [12] is "):
            read_contents(folder)

    def test_numbers_that_are_not_finite_are_hints(self, tmp_path: Path) -> None:
        folder = run_folder(tmp_path / "run", LOG[:1])
        (folder / "log.jsonl").write_text(f'{{"epoch": 1, "a": NaN, "b": 1e999, "c": 1{"0" * 400}, "d": 1}}\n')
        assert read_contents(folder).log == [{"epoch": 1.0, "a": None, "b": None, "c": None, "d": 1.0}]

    def test_the_last_line_of_a_killed_run_may_be_incomplete(self, tmp_path: Path) -> None:
        folder = run_folder(tmp_path / "run", LOG[:2])
        with open(folder / "log.jsonl", "a") as log:
            log.write('{"epoch": 3, "D"')
        assert len(read_contents(folder).log) == 2


class TestTraining:
    def test_a_finished_run_has_a_report_with_its_model_and_a_step(self, tmp_path: Path) -> None:
        small_run(tmp_path / "run").run()
        texts = " ".join(Structure((tmp_path / "run" / "report.html").read_text()).texts)
        for text in (
            "3 of 3 epochs",
            "BatchNorm(4)",
            "parameters",
            "Dense backward",
            "model.layers.0 Dense(3 -> 4)",
            "batch_size",
            "numpy",
        ):
            assert text in texts, text

    def test_a_report_that_fails_loses_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fail(*_: object) -> None:
            raise MemoryError("no memory")

        small_run(tmp_path / "good").run()
        monkeypatch.setattr("tinygen.training.observation.write_report", fail)
        small_run(tmp_path / "run").run()
        assert "the report could not be written: no memory" in capsys.readouterr().out
        assert not (tmp_path / "run" / "report.html").exists()
        assert contents(tmp_path / "run") == contents(tmp_path / "good")
