"""What the tests of all kinds share."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from fewgan import registry, run, storage
from fewgan.cli import commands as cli
from fewgan.errors import FewganError, UsageError
from fewgan.options import fields_of, flag, flags_of, prefix
from fewgan.photos.prepare import prepare
from fewgan.plugin import Networks, Plugin
from fewgan.registry import Choice
from fewgan.screen import Screen
from fewgan.testing import tiny
from fewgan.training import overfitting
from fewgan.training.config import Config
from fewgan.training.loop import resume, train
from fewgan.training.players import Players

QUIET = Screen(quiet=True)
STEPS = 20
CLOCK = [(seen, 1000) for seen in (0, 1, 500, 1000, 2000)]  # photos seen, of those planned; a resume may go on longer
SCHEDULE = "schedule(images_seen, planned_images) gives a factor of 0 and more, the same at the same time"


def install_tiny(folder: Path) -> Path:
    """Makes the kit's networks a package in a folder, for sys.path, as pip would leave one; returns the folder."""
    info = folder / "fewgan_tiny-0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fewgan-tiny\nVersion: 0\nSummary: of the kit\n")
    (info / "entry_points.txt").write_text("[fewgan.architectures]\ntiny = fewgan.testing.tiny:plugin\n")
    return folder


class PluginTests:
    """plugin: the name of an installed entry point. options: values for its options where defaults do not suit."""

    plugin: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    kind: ClassVar[str]
    where: ClassVar[str]  # the rules are documented there
    choosing: ClassVar[str]  # words of the command line that choose it, {} for the name

    def must(self, holds: bool, rule: str, seen: object = "") -> None:
        """Fails naming the rule and its place in the documentation."""
        if not holds:
            shown = f"\n  seen: {seen}" if seen != "" else ""
            pytest.fail(f"{self.plugin} breaks a rule of {self.where}:\n  {rule}{shown}", pytrace=False)

    @contextmanager
    def _told(self, rule: str) -> Iterator[None]:
        """An exception within is a failure that names the rule; pytest shows above it where it was raised."""
        try:
            yield
        except FewganError as error:
            self.must(False, rule, error)
        except Exception as error:
            self.must(False, rule, f"{type(error).__name__}: {error}")

    @property
    def object(self) -> Plugin:
        return registry.load(self.kind, self.plugin)

    @property
    def choice(self) -> Choice:
        values = registry.options_from(self.object, self.plugin, self.options)
        return registry.choose(self.kind, self.plugin, values)

    @pytest.fixture(autouse=True)
    def _tiny(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        """The kit's networks are a plugin like any other, installed while a test runs."""
        folder = install_tiny(tmp_path_factory.getbasetemp() / "fewgan-tiny")
        monkeypatch.syspath_prepend(str(folder))
        torch.manual_seed(0)

    def test_it_loads_and_its_options_follow_the_rules(self) -> None:
        try:
            plugin = self.object
            fields_of(plugin.options)
            registry.options_from(plugin, self.plugin, self.options)
        except (UsageError, ValueError) as error:
            self.must(False, "an entry point names a Plugin, whose options are a frozen dataclass of option()", error)
        self.must(bool(plugin.summary.strip()) and "\n" not in plugin.summary, "summary is one line", plugin.summary)

    def test_its_options_are_in_help(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "300")
        cli.run([*self.choosing.format(self.plugin).split(), "--help"])
        shown = capsys.readouterr().out
        for text in flags_of(prefix(self.kind, self.plugin), self.object.options):
            self.must(text in shown or text.replace("--no-", "--") in shown, f"--help shows the option {text}", shown)
        for item in fields_of(self.object.options):
            self.must(item.hidden or len(item.help) > 3, f"{flag(item.name)} says what it does", item.help)

    def made(self) -> Any:
        """What the plugin builds; of a kind whose build takes more than its options, that kind's tests say how."""
        plugin, options = self.choice.plugin()
        return plugin.build(options)


class ModuleTests(PluginTests):
    """What is tested of every plugin that is a module."""

    def test_what_it_makes_depends_on_the_seed_alone(self) -> None:
        torch.manual_seed(3)
        one = self.made()
        torch.manual_seed(3)
        other = self.made()
        shared = {id(p) for p in parameters(one)} & {id(p) for p in parameters(other)}
        self.must(not shared, "build makes new modules each time", f"two builds share {len(shared)} parameters")
        first, second = states(one), states(other)
        self.must(same(first, second), "build makes the same from the same seed", difference(first, second))

    def test_its_state_is_all_in_its_state_dict(self) -> None:
        torch.manual_seed(3)
        first = self.made()
        torch.manual_seed(4)
        second = self.made()
        for one, other in zip(self._stored(first), self._stored(second), strict=True):
            try:
                other.load_state_dict(one.state_dict())
            except RuntimeError as error:
                self.must(False, "build makes every module by shape alone, so that a state dict fits", error)
        a, b = self.used(first), self.used(second)
        self.must(finite(a), "what it gives is finite")  # NaN is unlike itself
        rule = "all state of a module is in its parameters and buffers, so that a checkpoint holds it"
        self.must(alike(a, b), rule, "two modules of one state dict give different results")

    def _stored(self, made: Any) -> list[nn.Module]:
        """All modules that a checkpoint holds for it."""
        return modules(made)

    def test_it_sets_no_seed(self) -> None:
        found = []
        for seed in (11, 12):
            torch.manual_seed(seed)
            self._called(self.made())
            found.append(torch.get_rng_state())
        rule = "it draws from torch's global generator and never seeds it, which would repeat the core's draws, too"
        self.must(not torch.equal(*found), rule, "after different seeds the generator stands at the same place")

    def used(self, made: Any) -> Any:
        """What it gives in a seeded test call: tensors in tuples."""
        torch.manual_seed(5)
        return self._called(made)

    def _called(self, made: Any) -> Any:
        """As `used`, but from where torch's generator stands."""
        raise NotImplementedError

    def _trained_and_resumed(self, settled: Config) -> Path:
        """The folder of a whole training, which a resume of the half of it repeats."""
        with self._told("a training runs to its end"):  # it ends before after ten steps in a row that are not finite
            whole = train(settled, QUIET).folder
        skipped = skipped_updates(whole)
        self.must(skipped == 0, "losses and gradients are finite", f"{skipped} updates were not")
        half = Path(shutil.copytree(whole, whole.with_name("00099-half")))
        run.checkpoints(half)[-1][1].unlink()  # as if it had been stopped in the middle
        with self._told("a run that was stopped resumes"):
            resume(str(half), QUIET, steps=settled.steps)
        ours, theirs = (storage.read_tensors(run.checkpoints(folder)[-1][1])[0] for folder in (half, whole))
        rule = "a resumed run gives the same, bit for bit: state is in buffers, randomness comes from torch's generator"
        self.must(same(ours, theirs), rule, difference(ours, theirs))
        return whole


class TrainedTests(ModuleTests):
    """What is tested by training with it, too."""

    def config(self, folder: Path) -> Config:
        return config(folder, **self.changes(folder))

    def changes(self, folder: Path) -> dict[str, Any]:
        """How the plugin enters the config."""
        raise NotImplementedError

    def test_twenty_steps_of_training_and_a_resume_in_the_middle(self, tmp_path: Path) -> None:
        self._trained_and_resumed(self.config(tmp_path))

    def test_a_few_steps_in_bfloat16(self, tmp_path: Path) -> None:
        rule = "it trains with --precision bf16, too; what needs float32 runs within full_precision, on .float()"
        with self._told(rule):
            done = train(dataclasses.replace(self.config(tmp_path), precision="bf16", steps=5), QUIET).folder
        skipped = skipped_updates(done)
        self.must(skipped == 0, rule, f"{skipped} updates were not finite")


def skipped_updates(folder: Path) -> float:
    """Updates of a run whose loss or gradient was not finite."""
    return sum(float(line["skipped_d"] + line["skipped_g"]) for line in run.read_metrics(folder))


def config(folder: Path, dataset_size: int = tiny.SIZE, classes: int = 0, **changes: Any) -> Config:
    """A run of the kit's networks on noise, from scratch but for the changes. classes: of the photos."""
    if not (folder / "dataset").exists():
        _noise(folder / "photos", dataset_size, classes)
        plan: dict[str, Any] = {"size": dataset_size, "classes": classes > 0, "holdout": overfitting.BATCH}
        prepare(folder / "photos", folder / "dataset", screen=QUIET, **plan)
    plain: dict[str, Any] = {
        "architecture": registry.choose("architectures", "tiny"),
        "transfer": registry.choose("transfers", registry.default("transfers") or ""),
        "data": str(folder / "dataset"),
        "out": str(folder / "runs"),
        "batch_size": 4,
        "steps": STEPS,
        "sample_every": 10,
        "save_every": 10,
        "precision": "fp32",
    }
    return Config(**(plain | changes))


def _noise(folder: Path, size: int, classes: int) -> None:
    places = [folder / str(number) for number in range(classes)] or [folder]
    for place in places:
        place.mkdir(parents=True)
    random = np.random.default_rng(0)
    for index in range(12 + overfitting.BATCH):
        blocks = random.integers(0, 256, (4, 4, 3)).repeat(size // 4, 0).repeat(size // 4, 1)
        Image.fromarray(blocks.astype(np.uint8)).save(places[index % len(places)] / f"{index:02d}.png")


def networks(classes: int = 0) -> Networks:
    """The kit's networks, small and of 16 px; classes: 0 for none."""
    return tiny.build(tiny.Options(), size=tiny.SIZE, classes=classes)


def game(transfer: Any, networks: Networks, **parts: Any) -> Players:
    parts = {"augmentation": None, "regularizers": {}} | parts
    return Players(networks=networks, transfer=transfer, loss="hinge", **parts)


def modules(made: Any) -> list[nn.Module]:
    """Generator and discriminator of networks; else what was built."""
    return [made.generator, made.discriminator] if isinstance(made, Networks) else [made]  # type: ignore[list-item]


def states(made: Any) -> dict[str, Tensor]:
    """Copies of all state tensors."""
    found: dict[str, Tensor] = {}
    for number, module in enumerate(modules(made)):
        found |= {f"{number}.{name}": tensor.detach().clone() for name, tensor in module.state_dict().items()}
    return found


def parameters(made: Any) -> list[nn.Parameter]:
    return [parameter for module in modules(made) for parameter in module.parameters()]


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str:
    names = [name for name in one if name not in other or not torch.equal(one[name], other[name])]
    names += [name for name in other if name not in one]
    return f"{len(names)} tensors differ: {', '.join(names[:4])}"


def alike(one: Any, other: Any) -> bool:
    """Whether results, tensors in tuples, are equal."""
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(torch.equal(one, other)) if isinstance(one, Tensor) else one == other


def is_factor(schedule: Any, times: Iterable[tuple[int, int]]) -> bool:
    """Whether a schedule gives finite factors of 0 and more at these times, and the same ones again."""
    factors = [schedule(*time) for time in times]
    numbers = all(isinstance(factor, int | float) and 0 <= factor < math.inf for factor in factors)
    return numbers and factors == [schedule(*time) for time in times]


def finite(value: Any) -> bool:
    """Whether all numbers in tensors, which may be in tuples, are finite."""
    if isinstance(value, tuple):
        return all(map(finite, value))
    return not isinstance(value, Tensor) or bool(value.isfinite().all())
