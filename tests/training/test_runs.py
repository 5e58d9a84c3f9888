"""Runs and their files: what is sampled from them, how they are named, moved and resumed."""

import dataclasses
import json
import re
import shutil

import pytest
import torch
from packages import install

import fewgan
from fewgan import distributed, registry, run, storage
from fewgan.errors import UsageError
from fewgan.networks import Networks
from fewgan.screen import Screen, command
from fewgan.sources.load import load
from fewgan.sources.model import name_of
from fewgan.testing import tiny
from fewgan.testing.base import QUIET, config
from fewgan.training import loop, session

pytestmark = pytest.mark.usefixtures("tiny_installed")


class Noisy(tiny.Generator):
    """Noise in forward, and a plain tensor that is no state."""

    def __init__(self, classes):
        super().__init__(classes)
        self.scale = torch.tensor(0.9)

    def forward(self, z, condition):
        images = super().forward(z, condition)
        return self.scale * images + 0.1 * torch.randn_like(images)


@pytest.fixture
def noisy(tmp_path, monkeypatch):
    """A run whose generator is Noisy, and whose D cannot be built where it is only sampled."""
    monkeypatch.setattr(tiny, "Generator", Noisy)
    return loop.train(config(tmp_path, steps=2, save_every=2), QUIET).folder


def test_noise_in_forward_is_seeded_and_plain_tensors_are_kept(noisy):
    model = load(noisy)
    first = model.sample(20, seed=3)
    torch.manual_seed(99)
    assert torch.equal(load(noisy).sample(18, seed=3), first[:18])
    assert not torch.equal(model.sample(2, seed=4), first[:2])
    state = torch.random.get_rng_state()
    model.sample(1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_generator_file_needs_neither_d_nor_the_transfer(tmp_path, monkeypatch):
    folder = loop.train(config(tmp_path, steps=1), QUIET).folder
    expected = load(folder).sample(2)
    content = run.read_config(folder)
    content["transfer"] |= {"name": "gone", "package": "fewgan-gone"}
    tensors, facts = storage.read_tensors(folder / run.GENERATOR)
    storage.write_tensors(folder / run.GENERATOR, tensors, facts | {"config": content})

    def build(options, *, size, classes):
        made = tiny.build.__wrapped__(options, size=size, classes=classes)
        return Networks(made.generator, lambda: pytest.fail("D was built"), made.defaults)

    build.__wrapped__ = tiny.build
    tiny_build = tiny.build
    plugin = dataclasses.replace(
        tiny.plugin,
        build=lambda options, *, size, classes: dataclasses.replace(
            tiny_build(options, size=size, classes=classes), discriminator=lambda: pytest.fail("D was built")
        ),
    )
    monkeypatch.setattr(tiny, "plugin", plugin)
    assert torch.equal(fewgan.load(folder / run.GENERATOR).sample(2), expected)
    assert torch.equal(fewgan.load(folder).sample(2), expected)  # D is built when asked for, not before


@pytest.mark.parametrize("labels", [[9], [], [-1], [0.5]])
def test_wrong_labels_are_one_message(tmp_path, labels):
    folder = loop.train(config(tmp_path, steps=1), QUIET).folder
    with pytest.raises(UsageError, match="labels"):
        load(folder).sample(2, labels=torch.tensor(labels))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/00001-photos.v2-biggan/generator.safetensors", "00001-photos.v2-biggan"),
        ("runs/00001-photos.v2-biggan", "00001-photos.v2-biggan"),
        ("runs/00001-a/generators/000500.safetensors", "00001-a-000500"),
        ("runs/00001-a/best.safetensors", "00001-a-best"),
        ("weights/cat.v3.pkl", "cat.v3"),
    ],
)
def test_names_are_whole_and_unique(tmp_path, path, name):
    place = tmp_path / path
    place.parent.mkdir(parents=True)
    place.touch() if "." in place.name and "photos" not in place.name else place.mkdir()
    assert name_of(place) == name


def test_a_folder_named_by_a_dot_has_its_own_name(tmp_path, monkeypatch):
    (tmp_path / "00007-x").mkdir()
    monkeypatch.chdir(tmp_path / "00007-x")
    from pathlib import Path

    assert name_of(Path()) == "00007-x"


def test_a_run_is_named_by_its_architecture_once(tmp_path):
    folder = loop.train(config(tmp_path, steps=1), QUIET).folder
    assert folder.name == "00001-dataset-tiny"


def test_resume_to_fewer_steps_than_are_made_is_refused(tmp_path):
    folder = loop.train(config(tmp_path, steps=2), QUIET).folder
    with pytest.raises(UsageError, match="has made 2 steps already"):
        loop.resume(str(folder), QUIET, steps=1)
    assert run.read_config(folder)["steps"] == 2


def test_a_project_that_was_moved_resumes_and_a_dataset_may_be_named(tmp_path):
    (tmp_path / "here").mkdir()
    whole = loop.train(config(tmp_path / "here", steps=4, save_every=2), QUIET).folder
    run.checkpoints(whole)[-1][1].unlink()
    moved = shutil.move(tmp_path / "here", tmp_path / "there")
    folder = moved / "runs" / whole.name
    assert loop.resume(str(folder), QUIET).step == 4
    run.checkpoints(folder)[-1][1].unlink()
    shutil.move(moved / "dataset", tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"the dataset of .* is not there; name it"):
        loop.resume(str(folder), QUIET)
    assert loop.resume(str(folder), QUIET, data=str(tmp_path / "elsewhere")).step == 4


def test_a_source_is_found_from_another_folder(tmp_path, monkeypatch):
    """A transfer that keeps its source asks for it again on a resume."""
    source = loop.train(config(tmp_path / "one", steps=1), QUIET).folder
    monkeypatch.chdir(source.parent)
    chosen = registry.choose("transfers", "finetune")
    folder = loop.train(config(tmp_path / "two", transfer=chosen, source=source.name, steps=1), QUIET).folder
    monkeypatch.chdir(tmp_path)
    assert load(run.read_config(folder)["source"]).path == source.resolve()


TEACHER = """
    import copy
    from dataclasses import dataclass
    from torch import nn
    from fewgan.plugin import Plugin

    @dataclass(frozen=True, kw_only=True)
    class Options: ...

    class Teacher(nn.Module):
        mapper, conditional, keeps_source = None, True, True

        def start(self, networks, sources):
            self.teacher = (copy.deepcopy(networks.generator), copy.deepcopy(sources[0].generator))

    plugin = Plugin(
        api=1, summary="T", options=Options, build=lambda options, networks: Teacher(), needs_source=True
    )
"""


def test_a_teacher_is_the_source_on_a_resume_too_and_no_other(tmp_path, monkeypatch):
    points = {"transfers": ["teacher = teacher_plugin:plugin"]}
    monkeypatch.syspath_prepend(install(tmp_path / "site", "fewgan-teacher", points, {"teacher_plugin": TEACHER}))
    source = loop.train(config(tmp_path / "one", steps=1), QUIET).folder
    expected = load(source).generator.state_dict()
    chosen = registry.choose("transfers", "teacher")
    folder = loop.train(config(tmp_path / "two", transfer=chosen, source=str(source), steps=1), QUIET).folder
    for taught in session.resume(folder, QUIET, {}).state.players.transfer.teacher:
        assert all(torch.equal(tensor, expected[name]) for name, tensor in taught.state_dict().items())
    loop.resume(str(source), QUIET, steps=2)
    with pytest.raises(UsageError, match="its generator is not the one that the run began with"):
        session.resume(folder, QUIET, {})


def test_a_regularizer_starts_from_the_source_as_a_transfer_does(tmp_path, monkeypatch):
    """As elastic weight consolidation does: the weights of the source, in buffers, before the first step."""
    source = TEACHER.replace("mapper, conditional, keeps_source = None, True, True", "keeps_source = True")
    source = source.replace(", needs_source=True", "")
    points = {"regularizers": ["ewc = ewc_plugin:plugin"]}
    monkeypatch.syspath_prepend(install(tmp_path / "site", "fewgan-ewc", points, {"ewc_plugin": source}))
    began = loop.train(config(tmp_path / "one", steps=1), QUIET).folder
    expected = load(began).generator.state_dict()
    changes = {"regularizers": (registry.choose("regularizers", "ewc"),), "steps": 1}
    chosen = registry.choose("transfers", "finetune")
    folder = loop.train(config(tmp_path / "two", transfer=chosen, source=str(began), **changes), QUIET).folder
    for taught in session.resume(folder, QUIET, {}).state.players.regularizers["ewc"].teacher:
        assert all(torch.equal(tensor, expected[name]) for name, tensor in taught.state_dict().items())
    alone = loop.train(config(tmp_path / "three", **changes), QUIET).folder
    assert not hasattr(session.resume(alone, QUIET, {}).state.players.regularizers["ewc"], "teacher")


def test_a_resume_of_what_is_finished_says_so(tmp_path, capsys):
    folder = loop.train(config(tmp_path, steps=2), QUIET).folder
    assert loop.resume(str(folder), Screen()).step == 2
    assert "This run has made all its steps; to train longer, give a larger --steps" in capsys.readouterr().err


def test_a_dataset_that_has_moved_is_asked_for_by_a_command_that_works(tmp_path):
    asked = config(tmp_path, steps=1, out=str(tmp_path / "my runs"))
    folder = loop.train(asked, QUIET).folder
    shutil.move(asked.data, tmp_path / "elsewhere")
    again = re.escape(command("fewgan", "train", "DATASET", "--resume", str(folder)))
    with pytest.raises(UsageError, match=f"the dataset of .* is not there; name it, as in '{again}'"):
        loop.resume(str(folder), QUIET, steps=2)
    shutil.move(tmp_path / "elsewhere", asked.data)
    record = json.loads((folder / "config.json").read_text()) | {"fingerprint": "of others"}
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match=f"not the photos that .*, as in '{again}'"):
        loop.resume(str(folder), QUIET, steps=2)


def test_a_request_that_the_first_step_refuses_leaves_no_run(tmp_path, monkeypatch):
    def refuse(*_):
        raise UsageError("two photos at least")

    step, refused = loop.discriminator_step, []
    monkeypatch.setattr(loop, "discriminator_step", refuse)
    with pytest.raises(UsageError, match="two photos"):
        loop.train(config(tmp_path, steps=1), QUIET)
    assert not list((tmp_path / "runs").glob("0*"))
    monkeypatch.setattr(
        loop, "discriminator_step", lambda *now: refuse() if refused else refused.append(1) or step(*now)
    )
    with pytest.raises(UsageError, match="two photos"):
        loop.train(config(tmp_path, steps=9), QUIET)
    assert list((tmp_path / "runs").glob("0*/samples"))  # one that has made a step stays


def test_the_average_is_a_copy_after_the_first_step_and_its_ramp_counts_the_steps_before(tmp_path):
    """As in the published loops, where images are counted after the average has moved."""
    asked = config(tmp_path, steps=2, save_every=1)
    folder = loop.train(asked, QUIET).folder
    (_, first), (_, second) = run.checkpoints(folder)
    name = next(key for key in storage.read_tensors(first)[0] if key.startswith("generator.") and "weight" in key)
    averaged = "average." + name
    one, two = (storage.read_tensors(path)[0] for path in (first, second))
    torch.testing.assert_close(one[averaged], one[name], rtol=0, atol=0)
    kept = 0.5 ** (1 / 0.05)  # of the half-life, 5 % of the images of the one step before
    torch.testing.assert_close(two[averaged], kept * one[averaged] + (1 - kept) * two[name])


def test_a_file_of_a_run_is_no_run_and_says_which_it_is_of(tmp_path):
    folder = loop.train(config(tmp_path, steps=1), QUIET).folder
    with pytest.raises(UsageError, match=f"not a fewgan run .*did you mean {folder}"):
        loop.resume(str(folder / run.GENERATOR), QUIET)


def test_other_processes_read_no_checkpoint_but_the_one_that_the_first_has_chosen(tmp_path, monkeypatch):
    """The first one sets a damaged checkpoint aside, which may happen before the others look at it."""
    asked = config(tmp_path, steps=4, save_every=2)
    folder = loop.train(asked, QUIET).folder
    found = run.checkpoints(folder)
    found[-1][1].unlink()
    state = session.begin(asked, QUIET).state
    told = iter(["000004.safetensors is damaged", None])
    monkeypatch.setattr(run, "checkpoints", lambda _: list(found))
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    monkeypatch.setattr(distributed, "broadcast_object", lambda _: next(told))
    session._restore(folder, state, QUIET)
    assert state.step == 2


def test_a_seed_may_have_63_bits(tmp_path):
    folder = loop.train(config(tmp_path, steps=1, seed=2**63 - 1), QUIET).folder
    assert json.loads((folder / "config.json").read_text())["seed"] == 2**63 - 1
    run.checkpoints(folder)
    assert loop.resume(str(folder), QUIET, steps=2).step == 2


def test_sizes_from_a_file_are_compared_before_anything_is_allocated(tmp_path, monkeypatch):
    folder = loop.train(config(tmp_path, steps=1), QUIET).folder
    tensors, facts = storage.read_tensors(folder / run.GENERATOR)
    facts["config"]["network_classes"] = 2**31 - 1
    storage.write_tensors(folder / run.GENERATOR, tensors, facts)
    monkeypatch.setattr("fewgan.sources.load.build_empty", lambda *_, **__: pytest.fail("memory was allocated"))
    with pytest.raises(UsageError, match=r"tensor .* is missing|expected"):
        load(folder)
