"""The command line: what a line chooses, what it passes on, what it prints, and how it fails."""

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from packages import PLUGIN, install

from fewgan import choosing, cli, flags, registry
from fewgan.plugin import FewganError, UsageError


@pytest.fixture(autouse=True)
def wide(monkeypatch, tmp_path):
    """Help pages of one width, an empty folder to be in, and nothing left over on sys.path or in sys.modules."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("calm"):
            del sys.modules[name]


@pytest.fixture
def calls(monkeypatch):
    """The functions behind the commands, replaced by ones that note what they are called with."""
    noted = {}

    @dataclass(frozen=True)
    class Trained:
        folder: Path = Path("runs/00001-x")
        step: int = 2000
        seconds: float = 65.0
        metrics: tuple = (("loss_d", float("nan")),)

    class Report:
        def as_dict(self):
            return {"frechet_distance": 12.5}

        def text(self):
            return "12.5"

    def stand_in(module, name, result):
        def function(*arguments, **options):
            noted[f"{module}.{name}"] = arguments, options
            return result

        if f"fewgan.{module}" not in replaced:
            replaced[f"fewgan.{module}"] = types.ModuleType(f"fewgan.{module}")
        setattr(replaced[f"fewgan.{module}"], name, function)

    replaced = {}
    counts = {"out": Path("dataset"), "count": 9, "held_out": 2, "rejected": {"small": 1}, "size": 64}
    stand_in("prepare", "prepare", types.SimpleNamespace(**counts, classes=("a", "b"), seconds=1.0, enlarged=0))
    stand_in("train", "train", Trained())
    stand_in("train", "resume", Trained(step=2100))
    stand_in("plan", "plan", {"networks": {"size": 64, "generator_parameters": 12345678}, "memory_bytes": 3.2e9})
    stand_in("sample", "sample", types.SimpleNamespace(folder=Path("pictures/x"), count=2, files=["a", "b"], seconds=1))
    stand_in("fid", "score", Report())
    for name, module in replaced.items():
        monkeypatch.setitem(sys.modules, name, module)
        import fewgan

        monkeypatch.setattr(fewgan, name.partition(".")[2], module, raising=False)
    return noted


@pytest.fixture
def run(capsys):
    """run("train --cr") -> (exit code, stdout, stderr)."""

    def call(line: str):
        code = cli.run(shlex.split(line))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def calm(tmp_path, monkeypatch):
    """A package with a transfer method and a regularizer."""
    place = tmp_path / "packages"
    points = {"transfers": ["calm-down = calm:plugin"], "regularizers": ["calm = calm:plugin"]}
    install(place, "fewgan-calm", points, {"calm": PLUGIN})
    monkeypatch.syspath_prepend(place)
    return place


def subprocess_of(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "100", **more}
    command = [sys.executable, "-m", "fewgan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


# What the commands pass on ------------------------------------------------------------------------------------------


def test_the_literal_commands(run, calls):
    assert run("prepare ./photos")[0] == 0
    assert run("train --transfer minegan --aug diffaugment --cr")[0] == 0
    assert run("sample --truncation 0.5")[0] == 0
    assert run("fid")[0] == 0
    assert list(calls) == ["prepare.prepare", "train.train", "sample.sample", "fid.score"]
    (photos, out), options = calls["prepare.prepare"]
    assert (photos, out, options["size"], options["crop"]) == (Path("photos"), Path("dataset"), 128, "center")
    (config, _), _ = calls["train.train"]
    assert (config.data, config.steps, config.source, config.no_regularizers) == ("dataset", 2000, None, ())
    chosen = [(choice.name, choice.options) for choice in config.choices]
    assert [name for name, _ in chosen] == [registry.default("architectures"), "minegan", "diffaugment", "cr"]
    assert dict(chosen)["cr"] == {"weight": 10.0}
    (target,), options = calls["sample.sample"]
    assert (target, options["truncation"], options["count"], options["seed"]) == (None, 0.5, None, 0)
    (target,), options = calls["fid.score"]
    assert (target, options["count"], options["features"].name) == (None, 5000, registry.default("features"))


def test_every_option_of_train_arrives(run, calls):
    line = (
        "train my --source s --size 64 --steps 7 --batch-size 8 --d-steps 2 --grad-accumulation 3 --lr-g 1e-4 "
        "--lr-d 2e-4 --loss wasserstein --precision bf16 --orthogonal 0.1 --no-flip --sample-every 5 --save-every 6 "
        "--keep-generators --seed 9 --device cpu --out o --cr --cr-weight 2.5 --transfer finetune --biggan-width 8"
    )
    assert run(line)[0] == 0
    (config, _), _ = calls["train.train"]
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
    (config, _), _ = calls["train.train"]
    assert config.no_regularizers == ("cr",)
    assert [choice.name for choice in config.regularizers] == ["calm"]
    options = {"weight": 1.5, "calm": False, "note": "--cr", "steps": 4, "derived": 7}
    assert config.regularizers[0].options == options


def test_dry_run_prints_the_plan(run, calls):
    assert run("train --dry-run") == (
        0,
        "networks\n  size                  64\n  generator parameters  12,345,678\nmemory        3.2 GB\n",
        "",
    )
    assert "train.train" not in calls
    assert json.loads(run("train --dry-run --json")[1])["networks"]["size"] == 64


def test_resume_passes_on_what_is_given_and_no_more(run, calls):
    assert run("train --resume latest --steps 2100 --json --quiet")[0] == 0
    (name,), options = calls["train.resume"]
    assert (name, {key: value for key, value in options.items() if key != "screen"}) == ("latest", {"steps": 2100})
    assert run("train --resume=runs/x --device cpu --save-every 3 --sample-every 4")[0] == 0
    assert {"device": "cpu", "save_every": 3, "sample_every": 4}.items() <= calls["train.resume"][1].items()


@pytest.mark.parametrize(
    "more", ["--lr-g 1", "data", "--cr", "--no-cr", "--cr-weight 3", "--transfer none", "--no-flip"]
)
def test_resume_takes_nothing_else(run, calls, more):
    code, _, error = run(f"train --resume latest {more}")
    assert code == 2
    assert (
        error
        == f"Error: {more.split()[0]} cannot go with --resume, which takes everything from the run; leave it out\n"
    )
    assert not calls


def test_results_are_printed(run, calls):
    _, out, error = run("prepare p")
    assert out.startswith(
        "dataset: 9 photos at 64 px\nclasses: 2 (a, b)\nheld out: 2\nleft out: 1 (1 small); see dataset"
    )
    assert error == "Next: fewgan train\n"
    assert run("prepare p --quiet")[2] == ""
    assert run("train") == (0, "runs/00001-x: step 2,000, trained for 1 min 05 s\n", "Next: fewgan sample\n")
    assert json.loads(run("train --json --quiet")[1])["metrics"] == [["loss_d", None]]
    assert run("sample runs/x")[1] == "pictures/x: 2 pictures in 1 s\n"
    assert run("fid")[1] == "12.5\n"
    assert json.loads(run("fid --json --truncation 0.2,0.4 --snapshots --inception-weights w")[1]) == {
        "frechet_distance": 12.5
    }
    options = calls["fid.score"][1]
    assert (options["truncations"], options["snapshots"]) == ((0.2, 0.4), True)
    assert options["features"].options == {"weights": "w"}


def test_fid_numbers(run):
    for text in ("0.2,x", "", "nan", "0", "-1", "1,,2"):
        code, _, error = run(f"fid --truncation '{text}'")
        assert (code, "give numbers above 0" in error) == (2, True)


# Which plugins a line chooses ---------------------------------------------------------------------------------------


def test_last_one_wins_and_equals_signs_count(run, calls):
    assert run("train --transfer=minegan --aug diffaugment --transfer finetune --cr --no-cr --cr")[0] == 0
    (config, _), _ = calls["train.train"]
    assert [choice.name for choice in config.choices[1:]] == ["finetune", "diffaugment", "cr"]


def test_values_that_look_like_options(run, calls):
    assert run("train --source --cr --diffaugment-policy=x --aug diffaugment")[0] == 0
    (config, _), _ = calls["train.train"]
    assert (config.source, config.regularizers) == ("--cr", ())
    assert run("train --aug diffaugment --diffaugment-policy --cr -- --cr")[0] == 0
    (config, _), _ = calls["train.train"]
    assert (config.augmentation.options, config.regularizers, config.data) == ({"policy": "--cr"}, (), "--cr")


WORDS = [
    "--cr", "--no-cr", "--transfer", "minegan", "finetune", "--transfer=minegan", "--transfer=", "--aug", "diffaugment",
    "--arch", "biggan", "--source", "--steps", "5", "--", "--lr-g", "--cr-weight", "--minegan-miner-steps", "--quiet",
    "--resume", "--diffaugment-policy", "--no-flip", "-h", "--json", "x",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=7))
def test_the_look_ahead_agrees_with_the_parser(words):
    """Wherever typer accepts a line, it reads the same plugins in it as the look-ahead did before."""
    got = {}

    def train(**line):
        got.update(line["ctx"].params, chosen=line["plugins"])

    train.__signature__ = inspect.signature(cli.train, eval_str=True)
    app = typer.Typer(add_completion=False)
    try:
        app.command()(flags.attach(train, words, choosing.COMMANDS["train"]))
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
        assert (chosen.name if chosen else "") == (got[f"plugin_{kind}"] or "")
    assert bool(got["chosen"].of("regularizers")) == bool(got["switch_cr"])


def test_core_flags_are_those_of_the_commands():
    """The registry refuses plugins by a list of its own, so that loading one needs no command line."""
    every = set()
    for name, kinds in choosing.COMMANDS.items():
        every |= set(flags.takes_value(flags.attach(getattr(cli, name), None, kinds)))
    assert every == registry.CORE_FLAGS


# Help, completion, start --------------------------------------------------------------------------------------------


def test_help_shows_the_chosen_plugins(run, calm):
    code, page, _ = run("train --transfer calm-down --cr --help")
    assert code == 0
    for text in (
        "Calm: a [bold] method",
        "--calm-down-weight",
        "[0.0<=x<=9.0]" if "[0.0<=x<=9.0]" in page else "[0<=x<=9]",
        "Weight of it [default: chosen well] [default: 1.5]",
        "--no-calm-down-calm",
        "--cr-weight",
        "--biggan-width",
        "From fewgan-calm 1.0; its options: fewgan plugins show calm",
    ):
        assert text in page, text
    assert "derived" not in page
    assert "--minegan" not in page
    assert "--inception-weights" in run("fid -h")[1]


def test_help_in_a_narrow_terminal(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    for line in ("", "--help", "train --help", "prepare --help", "sample -h", "fid -h", "plugins -h"):
        code, page, _ = run(line)
        assert code == 0
        assert max(map(len, page.splitlines())) <= 60


def completions(line: str) -> list[str]:
    words = line.split(" ")
    environment = {"_FEWGAN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess_of(**environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_completion(calm, monkeypatch):
    (calm / "calm.py").write_text("1/0")
    monkeypatch.setenv("PYTHONPATH", str(calm))
    # Other packages may be installed beside.
    assert {"calm-down", "finetune", "minegan", "none"} <= set(completions("fewgan train --transfer "))
    assert completions("fewgan train --transfer mi") == ["minegan"]
    assert completions("fewgan train --transfer minegan --minegan-m") == ["--minegan-miner-steps"]
    assert completions("fewgan train --transfer calm-down --cr-") == []  # broken: passed over, and --cr is not given
    assert completions("fewgan train --transfer nothing --cr --cr-") == ["--cr-weight"]
    assert completions("fewgan fid --features in") == ["inception"]
    assert "plugins" in completions("fewgan ")


def test_completion_in_other_shells(monkeypatch):
    for line, words in [("fewgan train --cr ", ["train", "--cr"]), ("fewgan train --c", ["train"]), ("fewgan 'a", [])]:
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        assert choosing.words() == words


@pytest.mark.parametrize("line", ["--help", "--version", "plugins", "plugins show cr", "train --cr --help", "fid -h"])
def test_nothing_of_this_imports_torch(line, tmp_path):
    """Nor NumPy; and listing imports no plugin."""
    code = (
        "import sys\nfrom fewgan.cli import run\n"
        f"assert run({line.split()!r}) == 0\n"
        "print('MODULES', *sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.rpartition("MODULES")[2].split())
    assert not modules & {"torch", "numpy", "PIL", "scipy", "torchvision"}
    if line in ("--help", "--version", "plugins"):
        kinds = tuple(f"fewgan.{kind}" for kind in registry.KINDS)
        assert [name for name in modules if name.startswith(kinds)] == []


def test_completion_imports_no_torch():
    last = "atexit.register(lambda: print('torch' in sys.modules))"
    code = f"import sys, atexit\n{last}\nfrom fewgan.cli import main\nmain()"
    environment = {"_FEWGAN_COMPLETE": "complete_bash", "COMP_WORDS": "fewgan train --aug ", "COMP_CWORD": "3"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    *names, imported = done.stdout.split()
    assert "diffaugment" in names
    assert imported == "False"


# plugins ------------------------------------------------------------------------------------------------------------


def test_plugins_lists_and_shows(run, calm):
    _, out, _ = run("plugins")
    assert [line.split()[:1] for line in out.splitlines()][:2] == [["KIND"], ["architecture"]]
    # Words, not columns: their widths depend on what else is installed.
    assert re.search(r"^regularizer +calm +fewgan-calm +1\.0 +Plugins of a test$", out, re.M)
    entries = json.loads(run("plugins --json")[1])
    assert {"kind": "regularizers", "name": "calm", "package": "fewgan-calm", "version": "1.0"}.items() <= next(
        entry for entry in entries if entry["name"] == "calm"
    ).items()
    _, out, _ = run("plugins show calm")
    assert out.splitlines()[:3] == [
        "calm: Calm: a [bold] method",
        "  regularizer, from fewgan-calm 1.0 (calm:plugin)",
        "  fewgan train --calm",
    ]
    assert "--calm-steps   int    3        1 or more\n    How many\n" in out
    assert "--calm-calm    bool   yes" in out
    assert "derived" not in out
    assert json.loads(run("plugins show calm --json")[1])["options"][0]["max"] == 9
    assert run("plugins show none")[1].endswith("It has no options.\n")
    assert run("plugins show nonne")[0] == 2


def test_plugins_check(run, calm):
    assert run("plugins check")[0] == 0
    install(calm, "fewgan-broken", {"features": ["broken = broken:plugin"]}, {"broken": "1/0"})
    code, out, _ = run("plugins check")
    assert code == 1
    assert re.search(r"^feature network +broken +fewgan-broken +1\.0 +broken$", out, re.M)
    assert "does not import: ZeroDivisionError: division by zero" in out
    reports = json.loads(run("plugins check --json")[1])
    assert [report["name"] for report in reports if report["error"]] == ["broken"]


# Failing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train --transfer minegn", "did you mean 'minegan'?"),
        ("train --cr-weight 5", "--cr-weight belongs to cr; add --cr\n"),
        ("train --minegan-miner-steps 5", "--minegan-miner-steps belongs to minegan; add --transfer minegan\n"),
        ("train --cr --cr-wight 5", "cr has no option --cr-wight; see 'fewgan plugins show cr'\n"),
        ("fid --cr-weight 5", "--cr-weight belongs to cr, which is for 'fewgan train'\n"),
        ("sample --inception-weights 5", "--inception-weights belongs to inception, which is for 'fewgan fid'\n"),
        ("train --projected", "No such option: --projected. Packages in the plugins/ folder"),
        ("train --stepz 3", "--steps"),
        ("train --cr --cr-weight nan", "'--cr-weight'"),
        ("train --cr --cr-weight -1", "'--cr-weight'"),
        ("train --minegan-x", "minegan has no option --minegan-x"),
        ("train --lr-g inf", "must be a finite number"),
        ("train --lr-g x", "'--lr-g'"),
        ("train --steps 0", "'--steps'"),
        ("train --steps", "requires an argument. See 'fewgan train --help'."),
        ("train --arch=", "no architecture is chosen, and none is the default; add --arch NAME"),
        ("train --loss soft", "--loss soft: choose hinge, nonsaturating, wasserstein"),
        ("train a b", "(b). See 'fewgan train --help'."),
        ("trian", "No such command 'trian'."),
        ("--transfer minegan train", "No such option: --transfer"),
        ("sample --cr", "No such option: --cr"),
        ("prepare", "'PHOTOS'. See 'fewgan prepare --help'."),
        ("plugins nothing", "No such command 'nothing'. See 'fewgan plugins --help'."),
    ],
)
def test_wrong_lines_get_one_line(run, calls, line, message):
    code, out, error = run(line)
    assert (code, out, error.count("\n"), error[:7]) == (2, "", 1, "Error: ")
    assert message in error


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (UsageError("wrong\nuse"), 2, "Error: wrong use\n"),
        (FewganError("failed"), 1, "Error: failed\n"),
        (type("Stopped", (FewganError,), {"exit_code": 143})("stopped by SIGTERM"), 143, "Error: stopped by SIGTERM\n"),
        (KeyboardInterrupt(), 130, ""),
        (PermissionError(13, "Permission denied", "runs/x"), 1, "Error: runs/x: Permission denied\n"),
        (OSError(28, "No space left on device"), 1, "Error: No space left on device\n"),
        (MemoryError(), 1, "out of memory"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried …"), 1, "smaller --batch-size"),
        (ValueError("odd"), 1, "a fault in the program, not in what you did: ValueError: odd in "),
    ],
)
def test_failures_and_exit_codes(run, calls, *, raised, code, message):
    def fail(*_, **__):
        raise raised

    sys.modules["fewgan.train"].train = fail
    result, out, error = run("train")
    assert (result, out) == (code, "")
    assert message in error
    assert "Traceback" not in error


def test_debugging_shows_the_fault(run, calls, monkeypatch):
    monkeypatch.setattr(sys.modules["fewgan.train"], "train", lambda *_: 1 / 0)
    monkeypatch.setenv("FEWGAN_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        run("train")


def test_a_broken_plugin_stops_only_who_chooses_it(run, calls, calm):
    install(calm, "fewgan-broken", {"regularizers": ["broken = broken:plugin"]}, {"broken": "import nothing_here"})
    assert run("train --cr --calm")[0] == 0
    assert run("train --help")[0] == 0
    assert run("plugins")[0] == 0
    for line in ("train --broken", "train --broken --help", "plugins show broken"):
        code, out, error = run(line)
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert (
            "'broken' of fewgan-broken 1.0 does not import: ModuleNotFoundError: No module named 'nothing_here'"
            in error
        )
    assert "--broken-x belongs to broken; add --broken" in run("train --broken-x 3")[2]


def test_two_packages_with_a_name_stop_only_who_chooses_it(run, calls, calm):
    install(calm, "fewgan-other", {"regularizers": ["calm = calm:plugin", "CALM = calm:plugin"]})
    assert run("train --cr")[0] == 0
    code, _, error = run("train --calm")
    assert code == 2
    assert "fewgan-calm 1.0 (regularizer)" in error
    assert "fewgan-other 1.0 (regularizer)" in error


def test_in_a_process(calm):
    """The console's view: real entry points on PYTHONPATH, real exit codes, nothing but one line."""
    (calm / "calm.py").write_text("raise RuntimeError('the weather\\nis bad')")
    done = subprocess_of("train", "--calm", PYTHONPATH=str(calm))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: regularizer 'calm' of fewgan-calm 1.0 does not import: RuntimeError: the weather is bad; "
        "upgrade or uninstall fewgan-calm\n"
    )
    assert subprocess_of("train", "--cr", "--help", PYTHONPATH=str(calm)).returncode == 0


def test_a_reader_that_leaves():
    command = f"'{sys.executable}' -m fewgan plugins --json | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == "[\n"
