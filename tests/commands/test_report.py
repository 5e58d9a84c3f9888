"""`fewgan report`: what the page holds, what is escaped, what is passed over."""

import base64
import hashlib
import json
import os
import re
import shlex
import signal
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar

import pytest
from report_runs import EVIL, choice, config, huge, lines, picture, row, scores, write, write_evil

from fewgan.cli import commands as cli
from fewgan.commands.report import Options, charts, files, page, pictures, plugin, series, words
from fewgan.commands.report.markup import script_data, tag
from fewgan.errors import FewganError, UsageError
from fewgan.options import flag
from fewgan.screen import Screen
from fewgan.testing import CommandTests

QUIET = Screen(quiet=True)
WITH = flag("with_")


class TestReport(CommandTests):
    plugin = "report"
    options: ClassVar = {}


class Page(HTMLParser):
    """elements: (tag, attributes) in order. text: all of it; data: the JSON of the page; scripts: what would run."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.scripts, self._inside = [], [], [], None
        self.feed(text)
        self.text = "\n".join(self.texts)

    def handle_starttag(self, name, attributes):
        self._inside = (name, dict(attributes))
        self.elements.append(self._inside)

    def handle_endtag(self, name):
        self._inside = None

    def handle_data(self, text):
        name, attributes = self._inside or ("", {})
        if name == "script" and attributes.get("type") == "application/json":
            self.data = json.loads(text)
        elif name in ("script", "style"):
            self.scripts += [text] if name == "script" else []
        else:
            self.texts.append(text)

    def found(self, name):
        return [attributes for tag, attributes in self.elements if tag == name]


@pytest.fixture(autouse=True)
def in_time():
    def late(*_: object) -> None:
        raise AssertionError("still busy after 20 seconds")

    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "runs" / "00002-photos-biggan")


def page_of(*folders):
    return Page(page.make(list(folders)))


def test_the_latest_run_is_written_beside_its_files(run, capsys):
    write(run.parent / "00001-earlier")
    (run.parent / "99999-no-run").mkdir()
    assert cli.run(["report", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done == {"file": f"runs/{run.name}/report.html", "bytes": (run / "report.html").stat().st_size}
    assert os.listdir(run).count("report.html") == 1
    assert not [name for name in os.listdir(run) if name.endswith(".tmp")]


def test_out_and_a_second_run(run, capsys):
    other = write(run.parent / "00003-other", steps=(0, 100, 200, 300, 400))
    assert cli.run(["report", str(run), WITH, str(other), "--out", "a b/page.html"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("a b/page.html: 0.")
    assert "xdg-open 'a b/page.html'" in shown.err
    made = Page(Path("a b/page.html").read_text(encoding="utf-8"))
    assert made.data["runs"] == [run.name, other.name]
    assert [len(frames) for frames in made.data["samples"]] == [3, 5]
    losses = made.data["charts"][0]["lines"]
    assert [(line["label"], line["run"]) for line in losses] == [("D", 0), ("D", 1), ("G", 0), ("G", 1)]
    sweep = next(chart for chart in made.data["charts"] if chart["x"] == "truncation")
    assert [line["run"] for line in sweep["lines"]] == [0, 1]


def test_everything_is_on_the_page(run):
    made = page_of(run)
    assert [frame["step"] for frame in made.data["samples"][0]] == [0, 200, 400]
    titles = [chart["title"] for chart in made.data["charts"]]
    for title in ("Losses", "Logits of D", "Logit gap", "KID while training", "Spread of the samples",
                  "Leaking augmentation", "Seconds per step", "lecam", "Learning rates", "FID"):  # fmt: skip
        assert title in titles
    losses = made.data["charts"][0]["lines"][0]
    assert losses["x"] == list(range(10, 401, 10))
    assert losses["y"] == [pytest.approx(line["loss_d"], rel=1e-5) for line in lines()]
    for text in ("400 of 400", "6,400", "3 min 20 s", "samples-alike", "weight 5", "miner_steps 300", "bf16", "a note",
                 "Truncation sweep: random-64-seed0", "1.00 GB", "40 % of the samples"):  # fmt: skip
        assert text in made.text, text
    assert all(image["alt"] for image in made.found("img"))
    assert len(made.found("img")) == 3


def test_it_asks_the_network_for_nothing_and_says_so(run):
    text = page.make([run])
    made = Page(text)
    policy = next(one["content"] for one in made.found("meta") if one.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["connect-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    (script,) = made.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert "unsafe" not in policy
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    for name, attributes in made.elements:
        for key in ("src", "href"):
            assert attributes.get(key, "data:").startswith("data:"), name
        assert not {key for key in attributes if key.startswith("on") or key == "style"}


def test_the_pictures_are_webp_and_the_page_is_small(run):
    for step in range(0, 2001, 200):
        picture(run / "samples" / f"{step:06d}.png", step, (1056, 528))
    picture(run / "real.png", 5, (798, 798))
    picture(run / "fid" / "nearest.png", 6, (1000, 1500))
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(2000)))
    text = page.make([run, run])
    assert len(text) < 5_000_000
    made = Page(text)
    shown = [frame["uri"] for frame in made.data["samples"][0]] + [
        one["src"] for one in made.found("img") if "src" in one
    ]
    assert len(shown) >= 13
    assert {uri.partition(",")[0] for uri in shown} == {"data:image/webp;base64"}


def test_the_command_works_as_it_stands():
    command = words.training(config())
    assert command == (
        "fewgan train 'my photos' --transfer minegan --aug diffaugment --cr --source embedded --steps 400 --seed 3 "
        "--no-flip --minegan-miner-steps 300 --cr-weight 5"
    )
    assert cli.run([*shlex.split(command)[1:], "--help"]) == 0
    unknown = config(asked={"architecture": choice("architectures", "strange", a_b=True, c=False, d=1.5, e=None)})
    assert words.training(unknown) == "fewgan train --arch strange --strange-a-b --no-strange-c --strange-d 1.5"


def test_what_to_do_next(run):
    made = page_of(run).text
    assert f"fewgan sample {run} --truncation 0.5" in made
    assert f"fewgan train --resume {run} --steps 800" in made
    assert f"fewgan report {run} --with RUN" in made
    assert "fewgan fid" not in made  # a sweep is there
    (run / "config.json").write_text(json.dumps(config(steps=1000)))
    (run / "generator.safetensors").unlink()
    (run / "best.safetensors").touch()
    made = page_of(run).text
    assert "Resume the training at step 400 of 1,000" in made
    assert f"fewgan sample {run}/best.safetensors" in made
    assert "--interpolate" not in made


def test_commands_are_quoted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('00001-it\'s $(touch pwned) `x`; "y"', "-rf", "00001-a\nb\x1b[2J"):
        write(tmp_path / name)
        commands = dict(words.next_steps(files.Path(name), config(), 400, {"generator"}, other=True)).values()
        for command in commands:
            assert command.isprintable()
            if "$'" not in command:
                assert name in {word.removeprefix("./") for word in shlex.split(command)}
    assert words.command("a\nb") == r"$'a\x0ab'"


def test_names_that_try_to_be_script(tmp_path):
    folder, plain = write_evil(tmp_path / ("00001-" + EVIL[1].replace("/", ""))), write(tmp_path / "plain")
    text = page.make([folder, folder])
    made = Page(text)
    assert len(made.scripts) == 1
    assert "pwned" not in made.scripts[0]
    assert {name for name, _ in made.elements} == {name for name, _ in page_of(plain).elements} | {"svg", "line"}
    for _, attributes in made.elements:
        assert not {key for key in attributes if key.startswith("on") or key in ("style", "srcdoc")}
        assert not attributes.get("src", "data:").startswith("javascript")
    assert text.lower().count("<script") == text.lower().count("</script") == 2
    assert "<!--" not in text
    for shown in EVIL[:8]:
        assert shown in made.text
    assert any(EVIL[0] in chart["title"] for chart in made.data["charts"])


def test_json_in_a_script_and_markup_escape():
    for text in EVIL:
        written = script_data({text: [text]})
        assert json.loads(written) == {text: [text]}
        assert not set("<>&\u2028\u2029") & set(written)
        assert Page(tag("p", text, title=text)).elements == [("p", {"title": files.shown(text)})]
    assert tag("p", "a\u202eb\x1b[2J\ud800") == "<p>a\ufffdb\ufffd[2J\ufffd</p>"


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
def test_damaged_files_are_passed_over(run, capsys, name, content):
    (run / name).write_bytes(content)
    code, note = DAMAGE[name]
    assert cli.run(["report", str(run)]) == code
    shown = capsys.readouterr()
    if code:
        assert shown.err.count("\n") == 1
        assert "config.json" in shown.err
    elif name != "metrics.jsonl":
        assert note in Page((run / "report.html").read_text(encoding="utf-8")).text
    else:
        assert "damaged line" in Page((run / "report.html").read_text(encoding="utf-8")).text


@pytest.mark.parametrize("name", DAMAGE)
def test_pipes_folders_and_links_out_of_the_run_are_left_out(run, tmp_path, name):
    original = (run / name).read_bytes()
    for make in ("pipe", "folder", "link"):
        (run / name).unlink(missing_ok=True)
        if make == "pipe":
            os.mkfifo(run / name)
        elif make == "folder":
            (run / name).mkdir()
        else:
            (tmp_path / "private").write_bytes(original)
            (run / name).symlink_to(tmp_path / "private")
        if name == "config.json":
            with pytest.raises(UsageError, match=r"config\.json"):
                page.make([run])
        else:
            assert f"{name}: " in page_of(run).text
        (run / name).rmdir() if make == "folder" else (run / name).unlink()


def test_values_of_wrong_types_are_no_trouble(run):
    wrong = [None, True, "x", [], {}, [[1]], {"a": {"b": {"c": {}}}}, 10**400, float("nan"), float("inf"), -1, 1e308]
    names = [*config(), "steps", "kid", "signs", "rows", "memorising", "notes", "step", "seconds_per_step"]
    for value in wrong:
        facts = dict.fromkeys(names, value) | {"format": 1}
        (run / "config.json").write_text(json.dumps(facts))
        line = dict.fromkeys([*next(lines()), "kid", "signs", "images_seen"], value)
        (run / "metrics.jsonl").write_text(
            "\n".join(json.dumps(one) for one in (line, line | {"step": 10}, {"step": 20, "loss_d": 1}, value))
        )
        rows = [dict.fromkeys(row(), value), value, row(truncation=value), row(truncation=0.1)]
        found = scores(rows, value, score_name=value, chosen_by=value, notes=value, memorising=value)
        (run / "fid" / "scores.json").write_text(json.dumps(found))
        assert page_of(run).data["charts"][0]["lines"][0]["y"][-1] == 1


def test_a_sweep_without_its_json_is_read_from_the_table(run):
    (run / "fid" / "scores.json").unlink()
    rows = "against,truncation,step,frechet_distance,kid\ntrain,0.2,,9,0.5\ntrain,0.4,,8,0.4\nx,y\n\n"
    (run / "fid" / "sweep.csv").write_text(rows)
    sweep = next(chart for chart in page_of(run).data["charts"] if chart["x"] == "truncation")
    assert (sweep["lines"][0]["x"], sweep["lines"][0]["y"]) == ([0.2, 0.4], [0.5, 0.4])


def test_a_million_lines_are_thinned(run):
    with open(run / "metrics.jsonl", "w") as file:
        file.writelines(
            f'{{"step": {step}, "loss_d": 0.5, "loss_g": 1, "more": "{step:60}"}}\n' for step in range(10**6)
        )
    started = time.monotonic()
    made = page_of(run)
    assert time.monotonic() - started < 15  # 1 on an idle machine
    curve = made.data["charts"][0]["lines"][0]
    assert len(curve["x"]) <= series.POINTS + 2
    assert curve["x"] == sorted(curve["x"])
    assert "one of" in made.text


def test_a_peak_is_never_thinned_away(run):
    with open(run / "metrics.jsonl", "w") as file:
        for step in range(10_000):
            file.write(json.dumps({"step": step, "loss_d": 1 if step == 7_777 else 0.5}) + "\n")
    curve = page_of(run).data["charts"][0]["lines"][0]
    assert (7_777, 1) in zip(curve["x"], curve["y"], strict=True)
    assert (curve["x"][0], curve["x"][-1]) == (0, 9_999)


def test_ever_new_names_and_endless_lines_are_capped(run):
    with open(run / "metrics.jsonl", "w") as file:
        file.writelines(json.dumps({"step": step, f"name{step}": 1}) + "\n" for step in range(20_000))
        file.write('{"step": 1, "a": "' + "x" * 10_000_000 + '"}\n' + '{"step": 30000, "loss_g": 3}\n')
    found = series.read(files.Folder(run))
    assert len(found.columns) == series.COLUMNS
    assert found.step == 30_000
    assert len(charts.training([found])) <= charts.MOST_PLUGIN_CHARTS


def test_huge_pictures_are_left_out(run):
    huge(run / "real.png", 100_000, 100_000)
    huge(run / "fid" / "nearest.png", 100_000, 1000)
    huge(run / "samples" / "000200.png", 100_000, 300)  # ends too early
    for step in range(1000, 1100):
        picture(run / "samples" / f"{step}.png", step, (66, 66))
    made = page_of(run)
    assert "real.png: too large a picture; left out" in made.text
    assert "fid/nearest.png: too large a picture, 100000 x 1000 px; left out" in made.text
    assert f"{pictures.FRAMES} of 103 grids are shown" in made.text
    assert [made.data["samples"][0][index]["step"] for index in (0, -1)] == [0, 1099]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "nowhere"], "nowhere: no such run folder"),
        (["report", "."], ".: not a fewgan run (no config.json)"),
        (["report", "--serve", "--out", "x"], "--serve writes no file; leave out --out"),
        (["report", "--port", "9"], "--port is for --serve; add it"),
        (["report"], "runs: no run here; run 'fewgan train' first, or name a run folder"),
    ],
)
def test_wrong_use_is_one_line(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert cli.run(words) == 2
    assert capsys.readouterr().err == f"Error: {message}\n"


def test_a_newer_format_and_a_folder_that_cannot_be_written(run):
    with pytest.raises(FewganError, match=r"could not be written .*; choose another with --out"):
        plugin.build(Options()).run(Options(run=str(run), out="/proc/x/y.html"), QUIET)
    (run / "config.json").write_text(json.dumps(config(format=2)))
    with pytest.raises(UsageError, match="newer fewgan"):
        page.make([run])
