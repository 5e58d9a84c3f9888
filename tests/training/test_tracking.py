"""What trackers are shown, and that one cannot end a run."""

import shutil
import sys

import pytest
from packages import install

from fewgan import run
from fewgan.registry import Choice
from fewgan.screen import Screen
from fewgan.testing.base import config
from fewgan.training.loop import resume, train

TRACKER = """
    import json, sys
    from dataclasses import dataclass
    from pathlib import Path
    from fewgan.plugin import Plugin, option

    @dataclass(frozen=True, kw_only=True)
    class Options:
        fails: str = option("", "The hook that fails")

    class Tracker:
        def __init__(self, fails):
            self.fails = fails

        def start(self, record):
            self.path = Path(record["folder"], "told.jsonl")
            self.tell("start", record["step"], record["steps"])

        def line(self, metrics):
            self.tell("line", metrics["step"])

        def pictures(self, step, pictures):
            self.tell("pictures", step, *pictures.shape, str(pictures.dtype))

        def end(self, summary):
            self.tell("end", summary.get("step"))

        def tell(self, *words):
            print("told", words[0])
            if words[0] == self.fails:
                raise OSError("no network")
            if self.fails == "exit":
                sys.exit("not logged in")
            with self.path.open("a") as file:
                file.write(json.dumps(words) + "\\n")

    plugin = Plugin(api=1, summary="T", options=Options, build=lambda options: Tracker(options.fails))
"""


ODD = """
    from dataclasses import dataclass
    import torch
    from fewgan.plugin import Plugin

    @dataclass(frozen=True, kw_only=True)
    class Options:
        pass

    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("ratio", torch.tensor(float("nan")))
            self.register_buffer("count", torch.tensor(3))

        def discriminator_loss(self, step):
            return step.logits_fake.new_zeros(())

    plugin = Plugin(api=1, summary="A buffer that is NaN", options=Options, build=lambda options, *, networks: Odd())
"""


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_installed):
    install(
        tmp_path / "site", "fewgan-teller", {"trackers": ["teller = teller_plugin:plugin"]}, {"teller_plugin": TRACKER}
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path


def teller(**options):
    return (Choice("trackers", "teller", "fewgan-teller", "1.0", options),)


def told(folder):
    return (folder / "told.jsonl").read_text().splitlines()


def test_a_run_and_its_resume_are_told_once(place):
    done = train(config(place, steps=14, sample_every=10, trackers=teller()), Screen(quiet=True))
    first = ['["start", 0, 14]', '["pictures", 10, 32, 3, 16, 16, "torch.uint8"]', '["line", 10]']
    last = ['["pictures", 14, 32, 3, 16, 16, "torch.uint8"]', '["line", 14]', '["end", 14]']
    assert told(done.folder) == first + last
    resume(str(done.folder), Screen(quiet=True), steps=20)
    again = ['["start", 14, 20]', '["pictures", 20, 32, 3, 16, 16, "torch.uint8"]', '["line", 20]', '["end", 20]']
    assert told(done.folder) == first + last + again


def test_a_value_that_is_not_finite_is_none(place):
    regularizers = {"regularizers": ["odd = odd_plugin:plugin"]}
    install(place / "more", "fewgan-odd", regularizers, {"odd_plugin": ODD})
    sys.path.insert(0, str(place / "more"))
    try:
        chosen = (Choice("regularizers", "odd", "fewgan-odd", "1.0", {}),)
        done = train(config(place, steps=10, regularizers=chosen), Screen(quiet=True))
    finally:
        sys.path.remove(str(place / "more"))
        sys.modules.pop("odd_plugin", None)
    (line,) = run.read_metrics(done.folder)
    assert line["odd.ratio"] is None
    assert line["odd.count"] == 3


@pytest.mark.parametrize("hook", ["start", "line", "pictures", "end"])
def test_one_that_fails_is_told_of_once_and_the_run_goes_on(place, capsys, hook):
    done = train(config(place, steps=20, sample_every=10, trackers=teller(fails=hook)), Screen(quiet=True))
    assert done.step == 20
    assert capsys.readouterr().err.count("the tracker teller does not work (OSError: no network)") == 1
    assert len(run.read_metrics(done.folder)) == 2


def test_one_that_changes_what_it_is_shown_changes_nothing(place):
    """`metrics.pop("step")` is how many begin."""
    source = place / "site" / "teller_plugin.py"
    source.write_text(source.read_text().replace('metrics["step"])', 'metrics.pop("step"))\n        metrics.clear()'))
    sys.modules.pop("teller_plugin", None)
    done = train(config(place, steps=6, sample_every=2, trackers=teller()), Screen(quiet=True))
    sys.modules.pop("teller_plugin", None)
    assert [line["step"] for line in run.read_metrics(done.folder)] == [2, 4, 6]
    assert [line for line in told(done.folder) if "line" in line] == [f'["line", {step}]' for step in (2, 4, 6)]


def test_one_that_exits_does_not_end_the_run(place, capsys):
    assert train(config(place, steps=10, trackers=teller(fails="exit")), Screen(quiet=True)).step == 10
    shown = capsys.readouterr()
    assert "the tracker teller does not work (SystemExit: not logged in)" in shown.err
    assert "told start" in shown.err
    assert shown.out == ""  # which is for the result


def test_one_that_is_gone_does_not_stop_a_resume(place, capsys):
    done = train(config(place, steps=10, trackers=teller()), Screen(quiet=True))
    shutil.rmtree(next((place / "site").glob("*.dist-info")))
    assert resume(str(done.folder), Screen(quiet=True), steps=12).step == 12
    assert "'teller' is needed and not installed" in capsys.readouterr().err


def test_one_that_fails_beside_a_run_that_fails_hides_nothing(place, monkeypatch):
    def explode(*_, **__):
        raise RuntimeError("of the step")

    monkeypatch.setattr("fewgan.training.loop.discriminator_step", explode)
    with pytest.raises(RuntimeError, match="of the step"):
        train(config(place, steps=10, trackers=teller(fails="end")), Screen(quiet=True))
