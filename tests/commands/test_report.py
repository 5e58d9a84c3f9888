"""`fewgan report`: what the page holds, what is escaped, what is passed over."""

import base64
import hashlib
import json
import os
import re
import shlex
from pathlib import Path
from typing import ClassVar

import pytest
from report_page import Page, page_of
from report_runs import EVIL, choice, config, lines, picture, row, scores, write, write_evil

from fewgan import storage
from fewgan.cli import commands as cli
from fewgan.commands.report import Options, files, page, plugin, record, sections, words
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


def test_the_latest_run_is_written_beside_its_files(shown_run, capsys):
    write(shown_run.parent / "00001-earlier")
    (shown_run.parent / "99999-no-run").mkdir()
    assert cli.run(["report", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done == {"file": f"runs/{shown_run.name}/report.html", "bytes": (shown_run / "report.html").stat().st_size}
    assert os.listdir(shown_run).count("report.html") == 1
    assert not [name for name in os.listdir(shown_run) if name.endswith(".tmp")]


def test_out_and_a_second_run(shown_run, capsys):
    other = write(shown_run.parent / "00003-other", steps=(0, 100, 200, 300, 400))
    assert cli.run(["report", str(shown_run), WITH, str(other), "--out", "a b/page.html"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("a b/page.html: 0.")
    assert "a%20b/page.html" in shown.err
    made = Page(Path("a b/page.html").read_text(encoding="utf-8"))
    assert made.data["runs"] == [shown_run.name, other.name]
    assert [len(frames) for frames in made.data["samples"]] == [3, 5]
    losses = made.data["charts"][0]["lines"]
    assert [(line["label"], line["run"]) for line in losses] == [("D", 0), ("D", 1), ("G", 0), ("G", 1)]
    sweep = next(chart for chart in made.data["charts"] if chart["x"] == "truncation")
    assert [line["run"] for line in sweep["lines"]] == [0, 1]


def test_everything_is_on_the_page(shown_run):
    made = page_of(shown_run)
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


def test_it_asks_the_network_for_nothing_and_says_so(shown_run):
    text = page.make([shown_run])
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


def test_the_pictures_are_webp_and_the_page_is_small(shown_run):
    for step in range(0, 2001, 200):
        picture(shown_run / "samples" / f"{step:06d}.png", step, (1056, 528))
    picture(shown_run / "real.png", 5, (798, 798))
    picture(shown_run / "fid" / "nearest.png", 6, (1000, 1500))
    (shown_run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(2000)))
    text = page.make([shown_run, shown_run])
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
    options = {"a_b": True, "c": False, "d_": 1.5, "e": None}
    unknown = config(asked={"architecture": choice("architectures", "strange", **options)})
    assert words.training(unknown) == "fewgan train --arch strange --strange-a-b --no-strange-c --strange-d 1.5"


def test_what_to_do_next(shown_run):
    made = page_of(shown_run).text
    assert f"fewgan sample {shown_run} --truncation 0.5" in made
    assert f"fewgan train --resume {shown_run} --steps 800" in made
    assert f"fewgan report {shown_run} --with RUN" in made
    assert "fewgan fid" not in made  # a sweep is there
    (shown_run / "config.json").write_text(json.dumps(config(steps=1000)))
    (shown_run / "generator.safetensors").unlink()
    (shown_run / "best.safetensors").touch()
    made = page_of(shown_run).text
    assert "Resume the training at step 400 of 1,000" in made
    assert f"fewgan sample {shown_run} --truncation 0.5" in made  # with the best generator
    (shown_run / "best.safetensors").unlink()
    assert "fewgan sample" not in page_of(shown_run).text


def test_no_truncation_is_advised_where_there_is_none(shown_run):
    (shown_run / "config.json").write_text(json.dumps(config(steps=1000) | {"truncates": False}))
    assert "--truncation" not in page_of(shown_run).text


def test_a_run_that_its_scores_ended_needs_more_patience(shown_run):
    lines = [json.dumps({"step": step, "kid": kid}) for step, kid in ((100, 0.5), (200, 0.2), (300, 0.3), (400, 0.4))]
    (shown_run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    for patience, shown in ((2, True), (3, False)):
        (shown_run / "config.json").write_text(json.dumps(config(steps=1000) | {"patience": patience}))
        assert (f"--patience {2 * patience}" in page_of(shown_run).text) == shown


def test_where_a_run_is_wanted_the_message_names_one(shown_run, capsys):
    for given, told in ((shown_run.parent, f"did you mean {shown_run}?"), (shown_run / "config.json", "is a file")):
        assert cli.run(["report", str(given)]) == 2
        assert told in capsys.readouterr().err


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


def test_a_newer_format_and_a_folder_that_cannot_be_written(shown_run):
    with pytest.raises(FewganError, match=r"could not be written .*; choose another with --out"):
        plugin.build(Options()).run(Options(run=str(shown_run), out="/proc/x/y.html"), QUIET)
    (shown_run / "config.json").write_text(json.dumps(config(format=2)))
    with pytest.raises(UsageError, match="newer fewgan"):
        page.make([shown_run])


def test_files_of_others_are_not_overwritten(shown_run, tmp_path, capsys):
    (tmp_path / "thesis.html").write_text("precious")
    line = ["report", str(shown_run), "--out"]
    assert cli.run([*line, str(tmp_path / "thesis.html")]) == 2
    assert "thesis.html: not made by fewgan and would be overwritten" in capsys.readouterr().err
    assert (tmp_path / "thesis.html").read_text() == "precious"
    for _ in range(2):  # its own it replaces
        assert cli.run([*line, str(tmp_path / "pages/")]) == 0
        assert cli.run([*line, f"{tmp_path}/new/"]) == 0
    assert (tmp_path / "new" / "report.html").is_file()


def test_a_longer_resume_is_told_with_its_steps():
    longer = config(asked={**config(), "steps": 4}, steps=8)
    assert "--steps 8" in words.training(longer)


def test_the_step_of_a_generator_is_that_in_its_header(tmp_path):
    """Which need not be that of the last line of metrics: a run was stopped, or goes on."""
    unscored = [{key: value for key, value in line.items() if key != "kid"} for line in lines()]
    shown_run = write(tmp_path / "00003-x", metrics=unscored)
    storage.write_tensors(shown_run / "generator.safetensors", {}, {"step": 1234})
    (shown_run / "fid" / "scores.json").write_text(json.dumps(scores([row(kid=0.3, step=1234), row(kid=0.1, step=1)])))
    shown = record.read(shown_run, 10**6)
    assert shown.generators == {1234}
    assert sections._lowest(shown) == pytest.approx(0.3)
    assert "scores" in shown.has


def test_the_best_kid_is_of_the_newest_scores_against_the_runs_own_photos(tmp_path):
    unscored = [{key: value for key, value in line.items() if key != "kid"} for line in lines()]
    shown_run = write(tmp_path / "00002-x", metrics=unscored)
    for name, kid, own in (("random-20-x", 0.001, False), ("random-9-seed0", 0.05, True)):
        (shown_run / "fid" / name).mkdir()
        other = scores([row(kid=kid)], name=name) | {"own_photos": own}
        (shown_run / "fid" / name / "scores.json").write_text(json.dumps(other))
    assert sections._lowest(record.read(shown_run, 10**6)) == pytest.approx(0.1)
