"""`fewgan report` on folders that are damaged, enormous or made to mislead: a page all the same, and soon."""

import json
import os
import signal
import time

import pytest
from report_page import Page, page_of
from report_runs import config, huge, lines, picture, row, scores

from fewgan.cli import commands as cli
from fewgan.commands.report import charts, files, page, pictures, series
from fewgan.errors import UsageError


@pytest.fixture(autouse=True)
def in_time():
    def late(*_: object) -> None:
        raise AssertionError("still busy after 60 seconds")

    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


DAMAGE = {
    "config.json": (2, None),
    "metrics.jsonl": (0, "metrics.jsonl: 1 damaged line left out"),
    "real.png": (0, "real.png: damaged; left out"),
    "samples/000200.png": (0, "samples/000200.png: damaged; left out"),
    "fid/scores.json": (0, "fid/scores.json: damaged; left out"),
    "fid/nearest.png": (0, "fid/nearest.png: damaged; left out"),
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("content", [b"{\xff\x00", b"[" * 100_000, b"\x89PNG\r\n\x1a\n" + b"\x00" * 50])
def test_damaged_files_are_passed_over(shown_run, capsys, name, content):
    (shown_run / name).write_bytes(content + b"\n")
    code, note = DAMAGE[name]
    assert cli.run(["report", str(shown_run)]) == code
    shown = capsys.readouterr()
    if code:
        assert shown.err.count("\n") == 1
        assert "config.json" in shown.err
    elif name != "metrics.jsonl":
        assert note in Page((shown_run / "report.html").read_text(encoding="utf-8")).text
    else:
        assert "damaged line" in Page((shown_run / "report.html").read_text(encoding="utf-8")).text


def test_a_line_that_is_just_being_written_is_no_damage(shown_run):
    with open(shown_run / "metrics.jsonl", "a") as file:
        file.write('{"step": 410, "loss')
    assert "damaged" not in page_of(shown_run).text


def test_a_link_in_the_place_of_the_page_leads_nowhere(shown_run, tmp_path):
    (tmp_path / "private").mkdir()
    (tmp_path / "file").write_text("mine")
    for target in ("private", "file"):
        (shown_run / "report.html").symlink_to(tmp_path / target)
        assert cli.run(["report", str(shown_run)]) == 0
        assert not (shown_run / "report.html").is_symlink()
        (shown_run / "report.html").unlink()
    assert list((tmp_path / "private").iterdir()) == []
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", DAMAGE)
def test_pipes_folders_and_links_out_of_the_run_are_left_out(shown_run, tmp_path, name):
    original = (shown_run / name).read_bytes()
    for make in ("pipe", "folder", "link"):
        (shown_run / name).unlink(missing_ok=True)
        if make == "pipe":
            os.mkfifo(shown_run / name)
        elif make == "folder":
            (shown_run / name).mkdir()
        else:
            (tmp_path / "private").write_bytes(original)
            (shown_run / name).symlink_to(tmp_path / "private")
        if name == "config.json":
            with pytest.raises(UsageError, match=r"config\.json"):
                page.make([shown_run])
        else:
            assert f"{name}: " in page_of(shown_run).text
        (shown_run / name).rmdir() if make == "folder" else (shown_run / name).unlink()


def test_values_of_wrong_types_are_no_trouble(shown_run):
    wrong = [None, True, "x", [], {}, [[1]], {"a": {"b": {"c": {}}}}, 10**400, float("nan"), float("inf"), -1, 1e308]
    names = [*config(), "steps", "kid", "signs", "rows", "memorising", "notes", "step", "seconds_per_step"]
    for value in wrong:
        facts = dict.fromkeys(names, value) | {"format": 1}
        (shown_run / "config.json").write_text(json.dumps(facts))
        line = dict.fromkeys([*next(lines()), "kid", "signs", "images_seen"], value)
        (shown_run / "metrics.jsonl").write_text(
            "\n".join(json.dumps(one) for one in (line, line | {"step": 10}, {"step": 20, "loss_d": 1}, value))
        )
        rows = [dict.fromkeys(row(), value), value, row(truncation=value), row(truncation=0.1)]
        found = scores(rows, value, score_name=value, chosen_by=value, notes=value, memorising=value)
        (shown_run / "fid" / "scores.json").write_text(json.dumps(found))
        assert page_of(shown_run).data["charts"][0]["lines"][0]["y"][-1] == 1


def test_a_sweep_without_its_json_is_read_from_the_table(shown_run):
    (shown_run / "fid" / "scores.json").unlink()
    rows = "against,truncation,step,frechet_distance,kid\ntrain,0.2,,9,0.5\ntrain,0.4,,8,0.4\nx,y\n\n"
    (shown_run / "fid" / "sweep.csv").write_text(rows)
    sweep = next(chart for chart in page_of(shown_run).data["charts"] if chart["x"] == "truncation")
    assert (sweep["lines"][0]["x"], sweep["lines"][0]["y"]) == ([0.2, 0.4], [0.5, 0.4])


def test_a_million_lines_are_thinned(shown_run):
    with open(shown_run / "metrics.jsonl", "w") as file:
        file.writelines(
            f'{{"step": {step}, "loss_d": 0.5, "loss_g": 1, "more": "{step:60}"}}\n' for step in range(10**6)
        )
    started = time.monotonic()
    made = page_of(shown_run)
    assert time.monotonic() - started < 15  # 1 on an idle machine
    curve = made.data["charts"][0]["lines"][0]
    assert len(curve["x"]) <= series.POINTS + 2
    assert curve["x"] == sorted(curve["x"])
    assert "one of" in made.text


def test_a_peak_is_never_thinned_away(shown_run):
    with open(shown_run / "metrics.jsonl", "w") as file:
        for step in range(10_000):
            file.write(json.dumps({"step": step, "loss_d": 1 if step == 7_777 else 0.5}) + "\n")
    curve = page_of(shown_run).data["charts"][0]["lines"][0]
    assert (7_777, 1) in zip(curve["x"], curve["y"], strict=True)
    assert (curve["x"][0], curve["x"][-1]) == (0, 9_999)


def test_ever_new_names_and_endless_lines_are_capped(shown_run):
    with open(shown_run / "metrics.jsonl", "w") as file:
        file.writelines(json.dumps({"step": step, f"name{step}": 1}) + "\n" for step in range(20_000))
        file.write('{"step": 1, "a": "' + "x" * 10_000_000 + '"}\n' + '{"step": 30000, "loss_g": 3}\n')
    found = series.read(files.Folder(shown_run))
    assert len(found.columns) == series.COLUMNS
    assert found.step == 30_000
    assert len(charts.training([found])) <= charts.MOST_PLUGIN_CHARTS


def test_huge_pictures_are_left_out(shown_run):
    huge(shown_run / "real.png", 100_000, 100_000)
    huge(shown_run / "fid" / "nearest.png", 100_000, 1000)
    huge(shown_run / "samples" / "000200.png", 100_000, 300)  # ends too early
    for step in range(1000, 1100):
        picture(shown_run / "samples" / f"{step}.png", step, (66, 66))
    made = page_of(shown_run)
    assert "real.png: too large a picture; left out" in made.text
    assert "fid/nearest.png: too large a picture, 100000 x 1000 px; left out" in made.text
    assert f"{pictures.FRAMES} of 103 grids are shown" in made.text
    assert [made.data["samples"][0][index]["step"] for index in (0, -1)] == [0, 1099]
