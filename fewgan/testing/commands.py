"""What a command must do (fewgan.plugin.Command)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fewgan.cli import commands as cli
from fewgan.faults import check_call
from fewgan.testing.base import PluginTests


class CommandTests(PluginTests):
    """That it stands in the list of commands and explains itself. What it computes is for its own tests."""

    kind = "commands"
    where = "fewgan.plugin.Command"
    choosing = "{}"

    def test_it_has_run(self) -> None:
        run = getattr(self.made(), "run", None)
        self.must(callable(run), "build gives an object with run(options, screen)")
        with self._told("run takes options and screen"):
            check_call(self.kind, self.plugin, "run", run, 2)

    def test_its_help_says_what_it_does(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.must(cli.run([self.plugin, "--help"]) == 0, "--help works")
        shown = " ".join(capsys.readouterr().out.split())
        start = " ".join(self.object.summary.split()[:3])
        self.must(start in shown, "the first line of --help is the plugin's summary", shown)

    def test_a_flag_that_it_lacks_is_one_message(self, capsys: pytest.CaptureFixture[str]) -> None:
        code = cli.run([self.plugin, "--no-such-flag"])
        error = capsys.readouterr().err
        self.must((code, error.count("\n")) == (2, 1), "wrong use is exit code 2 and one line", (code, error))


def run_command(words: Sequence[str]) -> int:
    """A command line of fewgan, without the first word, in this process; gives its exit code.

    What it prints is in pytest's `capsys`.
    """
    return cli.run([*words])
