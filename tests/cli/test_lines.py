"""What a line chooses, what it passes on, and what it prints."""

import inspect
import json
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from packages import install

from fewgan import registry
from fewgan.cli import choosing
from fewgan.cli import commands as cli
from fewgan.plugin import UsageError


def test_the_literal_commands(run, calls):
    assert run("prepare ./photos")[0] == 0
    assert run("train --transfer minegan --aug diffaugment --cr")[0] == 0
    assert run("sample --truncation 0.5")[0] == 0
    assert run("fid")[0] == 0
    assert list(calls) == ["prepare", "train", "sample", "score"]
    (photos, out), options = calls["prepare"]
    assert (photos, out, options["size"], options["crop"]) == (Path("photos"), Path("dataset"), 128, "center")
    (config, _), _ = calls["train"]
    assert (config.data, config.steps, config.source, config.no_regularizers) == ("dataset", 2000, None, ())
    chosen = [(choice.name, choice.options) for choice in config.choices]
    assert [name for name, _ in chosen] == [registry.default("architectures"), "minegan", "diffaugment", "cr"]
    assert dict(chosen)["cr"] == {"weight": None}
    (target,), options = calls["sample"]
    assert (target, options["truncation"], options["count"], options["seed"]) == (None, 0.5, None, 0)
    (target,), options = calls["score"]
    assert (target, options["count"], options["features"].name) == (None, 5000, registry.default("features"))


def test_every_option_of_train_arrives(run, calls):
    line = (
        "train my --source s --size 64 --steps 7 --batch-size 8 --d-steps 2 --grad-accumulation 3 --lr-g 1e-4 "
        "--lr-d 2e-4 --loss wasserstein --precision bf16 --orthogonal 0.1 --no-flip --sample-every 5 --save-every 6 "
        "--keep-generators --seed 9 --device cpu --out o --cr --cr-weight 2.5 --transfer finetune --biggan-width 8"
    )
    assert run(line)[0] == 0
    (config, _), _ = calls["train"]
    expected = {
        "data": "my", "source": "s", "size": 64, "steps": 7, "batch_size": 8, "d_steps": 2, "grad_accumulation": 3,
        "lr_g": 1e-4, "lr_d": 2e-4, "loss": "wasserstein", "precision": "bf16", "orthogonal": 0.1, "flip": False,
        "sample_every": 5, "save_every": 6, "keep_generators": True, "seed": 9, "device": "cpu", "out": "o",
    }  # fmt: skip
    assert {name: getattr(config, name) for name in expected} == expected
    assert config.regularizers[0].options == {"weight": 2.5}
    assert config.architecture.options["width"] == 8
    assert config.augmentation is None


def test_regularizers_turned_off_by_name(run, calls, calm):
    assert run("train --no-cr --calm --calm-steps 4 --no-calm-calm --calm-note=--cr")[0] == 0
    (config, _), _ = calls["train"]
    assert config.no_regularizers == ("cr",)
    assert [choice.name for choice in config.regularizers] == ["calm"]
    options = {"weight": 1.5, "calm": False, "note": "--cr", "steps": 4, "derived": 7}
    assert config.regularizers[0].options == options


def test_dry_run_prints_the_plan(run, calls):
    assert run("train --dry-run") == (
        0,
        "networks\n  size                  64\n  generator parameters  12,345,678\nmemory        3.2 GB\n"
        "classes       a\\x1b[2J\n",
        "",
    )
    assert "train" not in calls
    assert json.loads(run("train --dry-run --json")[1])["networks"]["size"] == 64


def test_resume_passes_on_what_is_given_and_no_more(run, calls):
    assert run("train --resume latest --steps 2100 --json --quiet")[0] == 0
    (name, _), options = calls["resume"]
    assert (name, options) == ("latest", {"steps": 2100})
    assert run("train moved --resume=runs/x --device cpu --save-every 3 --sample-every 4")[0] == 0
    changes = {"data": "moved", "device": "cpu", "save_every": 3, "sample_every": 4}
    assert calls["resume"][1] == changes


def test_continue_resumes_what_the_same_command_left(run, calls):
    assert run("train --continue --precision fp32")[0] == 0
    (config, _), options = calls["train"]
    assert (config.precision, options) == ("fp32", {"resume_unfinished": True})
    assert run("train")[0] == 0
    (config, _), options = calls["train"]
    assert (config.precision, options) == ("auto", {"resume_unfinished": False})


def test_resume_without_a_run(run, calls):
    assert run("train --resume --steps 3")[::2] == (
        2, "Error: --resume --steps: give a run first, or latest, as in --resume latest --steps\n",
    )  # fmt: skip
    assert not calls


@pytest.mark.parametrize(
    "more", ["--lr-g 1", "--continue", "--cr", "--no-cr", "--cr-weight 3", "--transfer none", "--no-flip", "--seed 0"]
)
def test_resume_takes_nothing_else(run, calls, more):
    code, _, error = run(f"train --resume latest {more}")
    assert code == 2
    assert (
        error
        == f"Error: {more.split()[0]} cannot be used with --resume, which takes the settings of the run; leave it out\n"
    )
    assert not calls


def test_results_are_printed(run, calls):
    _, out, error = run("prepare p")
    assert out.startswith(
        "dataset: 9 photos at 64 px\nclasses: 2 (a, b\\x1b[2J)\nheld out: 2\nleft out: 1 (1 small); see dataset"
    )
    assert error == "Next: fewgan train\n"
    assert run("prepare p --quiet")[2] == ""
    assert run("train") == (0, "runs/00001-x: step 2,000, trained for 1 min 05 s\n", "Next: fewgan sample\n")
    assert run("train --out 'My Drive'")[2] == run("train --resume latest")[2] == "Next: fewgan sample runs/00001-x\n"
    assert json.loads(run("train --json --quiet")[1])["metrics"] == {"loss_d": None}
    assert run("sample runs/x")[1] == "pictures/x: 2 pictures in 1 s\n"
    assert run("fid")[1] == "12.5\n"
    assert json.loads(run("fid --json --truncation 0.2,0.4 --snapshots --inception-weights w")[1]) == {
        "frechet_distance": 12.5
    }
    options = calls["score"][1]
    assert (options["truncations"], options["snapshots"]) == ((0.2, 0.4), True)
    assert options["features"].options == {"weights": "w"}


def test_fid_numbers(run):
    for text in ("0.2,x", "", "nan", "0", "-1", "1,,2"):
        code, _, error = run(f"fid --truncation '{text}'")
        assert (code, "must be numbers above 0" in error) == (2, True)


def test_last_one_wins_and_equals_signs_count(run, calls):
    code, _, told = run("train --transfer=minegan --aug diffaugment --transfer finetune --cr --no-cr --cr")
    assert (code, told.splitlines()[0]) == (
        0, "Warning: --transfer finetune takes the place of minegan: there can be one",
    )  # fmt: skip
    (config, _), _ = calls["train"]
    assert [choice.name for choice in config.choices[1:]] == ["finetune", "diffaugment", "cr"]


def test_values_that_look_like_options(run, calls):
    assert run("train --source --cr --diffaugment-policy=x --aug diffaugment")[0] == 0
    (config, _), _ = calls["train"]
    assert (config.source, config.regularizers) == ("--cr", ())
    assert run("train --aug diffaugment --diffaugment-policy --cr -- --cr")[0] == 0
    (config, _), _ = calls["train"]
    assert (config.augmentation.options, config.regularizers, config.data) == ({"policy": "--cr"}, (), "--cr")


WORDS = [
    "--cr", "--no-cr", "--transfer", "minegan", "finetune", "--transfer=minegan", "--transfer=", "--aug", "diffaugment",
    "--arch", "biggan", "--source", "--steps", "5", "--", "--lr-g", "--cr-weight", "--minegan-miner-steps", "--quiet",
    "--resume", "--diffaugment-policy", "--no-flip", "-h", "--json", "x",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@example(["--transfer", "--", "--transfer=minegan"])
@example(["--source", "--", "--transfer=minegan"])
@example(["--transfer=minegan", "--source", "--transfer"])
@given(st.lists(st.sampled_from(WORDS), max_size=7))
def test_what_is_chosen_is_what_typer_reads(words):
    """A first look at the line decides which options there are; typer decides what is chosen, and they agree."""
    got = {}

    def train(**line):
        got.update(line["ctx"].params, chosen=line["plugins"])

    train.__signature__ = inspect.signature(cli.train, eval_str=True)
    app = typer.Typer(add_completion=False)
    try:
        app.command()(choosing.attach(train, words, choosing.COMMANDS["train"], cli.core_flags()))
        typer.main.get_command(app).main(args=list(words), prog_name="x", standalone_mode=False)
    except UsageError:
        return
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's own say what is wrong with the line
            raise
    if not got or got["resume"] is not None:  # refused, or a help page
        return
    for kind in ("architectures", "transfers", "augmentations"):
        chosen = got["chosen"].one(kind)
        assert (chosen.name if chosen else "") == (got[f"plugin_{kind}"] or [""])[-1]
    assert bool(got["chosen"].of("regularizers")) == bool(got["switch_cr"])
    named = choosing.named(words, choosing.COMMANDS["train"], ["cr"])
    # A chooser that is the value of another option hides the default, which has no options to show.
    usual = {(kind, registry.default(kind)) for kind in choosing.COMMANDS["train"]}
    assert {(choice.kind, choice.name) for choice in got["chosen"].choices} <= set(named) | usual


def test_core_flags_are_those_of_the_commands():
    core = cli.core_flags()
    assert {"--help", "--arch", "--features", "--no-flip", "--continue", "--truncation", "--d-steps"} <= core
    assert not core & {"--cr", "--biggan-width", "--grid", "data"}


@pytest.mark.parametrize(("value", "code"), [(2**31, 0), (2**63 - 1, 0), (2**63, 2), (2**64, 2), (-1, 2)])
def test_seeds(run, calls, value, code):
    result, _, error = run(f"train --seed {value}")
    assert (result, "Error: Invalid value for '--seed'" in error, error.count("\n")) == (code, bool(code), 1)


def test_numbers_are_no_larger_than_a_run_can_be(run, calls):
    """A run folder with a larger one would count as damaged."""
    for option in ("--steps", "--batch-size", "--save-every", "--size"):
        assert run(f"train {option} {2**31 - 1}")[0] == 0
        assert run(f"train {option} {2**31}")[0] == 2


@pytest.mark.parametrize(
    "line", ["prepare ''", "sample --out ''", "sample --out=", "train ''", "train --resume ''", "fid runs --against ''"]
)
def test_an_empty_path_is_not_the_current_folder(run, calls, line):
    """A variable that is not set, as in `fewgan prepare "$PHOTOS"`."""
    code, _, error = run(line)
    assert (code, "is empty; give a path" in error, error.count("\n"), calls) == (2, True, 1, {})


@pytest.mark.parametrize("line", ["plugins --json show cr", "plugins show cr --json", "plugins --json check"])
def test_json_may_stand_before_or_after_the_word_of_plugins(run, line):
    code, out, _ = run(line)
    assert code == 0
    assert json.loads(out)


@pytest.mark.parametrize(
    ("words", "what"),
    [("--steps x", "a whole number"), ("--lr-g x", "a number"), ("--steps 0", "1 or more"), ("--lr-g nan", "")],
)
def test_what_is_wrong_with_a_number_is_said_plainly(run, words, what):
    code, _, error = run(f"train {words}")
    assert (code, f"Invalid value for '{words.split()[0]}': " in error) == (2, True)
    assert "Input should" not in error
    if tuple(map(int, version("typer").split(".")[:2])) >= (0, 29):  # older ones have words of their own
        assert f"must be {what}" in error


NOISY = """
    from dataclasses import dataclass
    from fewgan.plugin import Plugin

    @dataclass(frozen=True, kw_only=True)
    class Options: ...

    print("imported")
    plugin = Plugin(api=1, summary="Noisy", options=Options, build=lambda options, size: print("built"))
"""


def test_what_a_plugin_prints_is_not_in_the_result(run, calls, tmp_path, monkeypatch):
    points = {"augmentations": ["noisy = calm_noisy:plugin"]}
    monkeypatch.syspath_prepend(install(tmp_path / "site", "fewgan-noisy", points, {"calm_noisy": NOISY}))
    monkeypatch.setattr("fewgan.training.plan.plan", lambda config, screen: print("planned") or {"networks": {}})
    code, out, error = run("train --aug noisy --dry-run --json")
    assert (code, json.loads(out)) == (0, {"networks": {}})
    assert error == "imported\nplanned\n"
