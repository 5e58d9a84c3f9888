"""Help, completion, and the plugins command; none of them imports torch."""

import json
import os
import re
import subprocess
import sys

import pytest
from packages import install
from process import subprocess_of

from fewgan import registry
from fewgan.cli import choosing


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
    for line, words in [
        ("fewgan train --cr ", ["train", "--cr"]),
        ("fewgan train --c", ["train", "--c"]),
        ("fewgan 'a", ["'a"]),
    ]:
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        assert choosing.words() == words


@pytest.mark.parametrize("line", ["--help", "--version", "plugins", "plugins show cr", "train --cr --help", "fid -h"])
def test_nothing_of_this_imports_torch(line, tmp_path):
    """Nor NumPy; and listing imports no plugin."""
    code = (
        "import sys\nfrom fewgan.cli.commands import run\n"
        f"assert run({line.split()!r}) == 0\n"
        "print('MODULES', *sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.rpartition("MODULES")[2].split())
    assert not modules & {"torch", "numpy", "PIL", "scipy", "torchvision"}
    if line in ("--help", "--version", "plugins"):
        # The list of commands has a line of help from each of fewgan's own.
        kinds = tuple(f"fewgan.{kind}" for kind in registry.KINDS if kind != "commands" or line == "plugins")
        assert [name for name in modules if name.startswith(kinds)] == []


def test_sampling_imports_no_compiler(tmp_path):
    """Which takes torch a second; the first random number on the meta device would import it."""
    code = (
        "import sys\nfrom fewgan.cli.commands import run\n"
        "assert run('sample embedded --count 1 --out pictures'.split()) == 0\n"
        "print('MODULES', *sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    modules = set(done.stdout.rpartition("MODULES")[2].split())
    assert "torch" in modules
    assert not modules & {"torch._dynamo", "torch.fx.experimental.symbolic_shapes", "torchvision", "matplotlib"}


def test_completion_imports_no_torch():
    last = "atexit.register(lambda: print('torch' in sys.modules))"
    code = f"import sys, atexit\n{last}\nfrom fewgan.cli.commands import main\nmain()"
    environment = {"_FEWGAN_COMPLETE": "complete_bash", "COMP_WORDS": "fewgan train --aug ", "COMP_CWORD": "3"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    *names, imported = done.stdout.split()
    assert "diffaugment" in names
    assert imported == "False"


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


@pytest.mark.parametrize("columns", ["0", "-1", "abc", ""])
def test_help_is_there_in_a_terminal_without_a_width(columns):
    environment = {**os.environ, "COLUMNS": columns}
    command = [sys.executable, "-m", "fewgan", "runs", "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "Usage: fewgan runs" in done.stdout
