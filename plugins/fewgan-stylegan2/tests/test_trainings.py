"""Short trainings at 32 px: every transfer method, augmentation and regularizer that is installed, on StyleGAN2."""

import shutil
from pathlib import Path

import pytest
import torch
from fewgan_stylegan2.architecture import write
from fewgan_stylegan2.discriminator import Discriminator
from test_files import PKL
from test_sources import saved, tiny
from test_stylegan2_plugins import TINY

import fewgan
from fewgan import registry, run, storage
from fewgan.architectures.biggan import plugin as biggan
from fewgan.errors import UsageError
from fewgan.testing.base import QUIET, config, difference, install_tiny, same
from fewgan.training.loop import resume, train
from fewgan.training.session import begin


@pytest.fixture(scope="module", autouse=True)
def _tiny(tmp_path_factory):
    """The kit's networks, which its config names before they are replaced."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(install_tiny(tmp_path_factory.getbasetemp() / "fewgan-tiny")))
        yield


def chosen(kind, name, **options):
    return registry.choose(kind, name, registry.options_from(registry.load(kind, name), name, options))


def started(folder, **changes):
    values = {"architecture": chosen("architectures", "stylegan2", **TINY), "size": 32, "steps": 6} | changes
    return train(config(folder, dataset_size=32, **values), QUIET).folder


def metrics(folder):
    lines = run.read_metrics(folder)
    assert not any(line["skipped_d"] + line["skipped_g"] for line in lines)
    return lines[-1]


@pytest.fixture(scope="module")
def source(_tiny, tmp_path_factory):
    return started(tmp_path_factory.mktemp("source"), steps=1)


def transferred(folder, source, **changes):
    """A training in which the source decides the architecture."""
    plain = {"architecture": registry.choose("architectures", registry.default("architectures")), "size": None}
    return started(folder, source=str(source), **(plain | changes))


def test_options_that_change_no_network_are_the_runs_own_beside_a_source(tmp_path):
    """They are no part of the source's networks: given or default, the run's hold."""
    theirs = chosen("architectures", "stylegan2", **TINY, noise="const", cutoff=1)
    source = started(tmp_path / "source", architecture=theirs, steps=1)
    given = chosen("architectures", "stylegan2", mixing=0.25, noise="none", cutoff=3)
    changes = {"transfer": chosen("transfers", "finetune"), "steps": 1}
    made = transferred(tmp_path / "given", PKL / "network-snapshot.pkl", architecture=given, **changes)
    plain = transferred(tmp_path / "plain", source, **changes)
    options = [run.read_config(folder)["architecture"]["options"] for folder in (source, made, plain)]
    found = [(one["mixing"], one["noise"], one["cutoff"]) for one in options]
    assert found == [(None, "const", 1), (0.25, "none", 3), (None, "random", None)]
    generator = fewgan.load(made).generator
    assert (generator.mixing, generator.noise, generator.cutoff) == (0.25, "none", 3)
    assert options[2]["channel_base"] == TINY["channel_base"]
    refused = chosen("architectures", "stylegan2", mixing=0.25, group=2)
    with pytest.raises(UsageError, match="--stylegan2-group 2: the source"):
        transferred(tmp_path / "refused", source, architecture=refused, **changes)


METHODS = [
    ("finetune", {}),
    ("minegan", {"miner_steps": 3}),
    ("freezed", {}),
]


@pytest.mark.parametrize(("name", "options"), METHODS)
def test_transfer_methods(tmp_path, source, name, options):
    folder = transferred(tmp_path, source, transfer=chosen("transfers", name, **options))
    last = metrics(folder)
    assert last["pathlength.mean"] > 0
    content = run.read_config(folder)
    assert content["architecture"]["name"] == "stylegan2"
    assert [choice["name"] for choice in content["regularizers"]] == ["r1", "pathlength"]
    assert fewgan.load(folder).sample(2, truncation=0.5).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("name", ["diffaugment", "ada"])
def test_augmentations(tmp_path, source, name):
    changes = {"augmentation": chosen("augmentations", name), "transfer": chosen("transfers", "finetune")}
    metrics(transferred(tmp_path, source, **changes))


@pytest.mark.parametrize("name", ["cr", "lecam", "visionaided"])
def test_regularizers(tmp_path, source, name):
    options = {"channels": 4} if name == "visionaided" else {}
    changes = {"regularizers": (chosen("regularizers", name, **options),), "transfer": chosen("transfers", "finetune")}
    folder = transferred(tmp_path, source, **changes)
    metrics(folder)
    assert [c["name"] for c in run.read_config(folder)["regularizers"]] == [name, "r1", "pathlength"]


def test_resume_is_exact_with_both_regularizers(tmp_path):
    whole = started(tmp_path, steps=6, save_every=3)
    half = Path(shutil.copytree(whole, tmp_path / "runs" / "00099-half"))
    run.checkpoints(half)[-1][1].unlink()  # as if it had been stopped after 3 steps
    resume(str(half), QUIET, steps=6)
    ours, theirs = (storage.read_tensors(run.checkpoints(folder)[-1][1])[0] for folder in (half, whole))
    assert same(ours, theirs), difference(ours, theirs)
    assert ours["regularizer.pathlength.mean"] > 0
    assert ours["generator.mapping.w_avg"].any()


def test_the_regularizers_count_and_can_be_left_out(tmp_path):
    states = {}
    for left_out in ((), ("r1",), ("pathlength",), ("r1", "pathlength")):
        folder = started(tmp_path, steps=1, no_regularizers=left_out, save_every=1)
        assert ("pathlength.mean" in metrics(folder)) == ("pathlength" not in left_out)
        states[left_out] = storage.read_tensors(run.checkpoints(folder)[-1][1])[0]
    for left_out, network in (("r1", "discriminator"), ("pathlength", "generator")):
        with_it, without = (storage.part(states[key], f"{network}.") for key in ((), (left_out,)))
        assert not same(with_it, without), f"{left_out} changed nothing in the {network}"


def test_in_bfloat16(tmp_path):
    metrics(started(tmp_path, steps=5, precision="bf16", augmentation=chosen("augmentations", "diffaugment")))


def test_a_source_with_other_classes(tmp_path):
    folder = saved(tmp_path / "source", write(tiny(classes=3)))
    for method in ("finetune", "minegan"):
        found = transferred(tmp_path, folder, transfer=chosen("transfers", method), steps=2)
        metrics(found)
        assert fewgan.load(found).generator.classes == 1


@pytest.mark.parametrize(
    ("of", "option", "shown"),
    [
        ("run", {"channel_base": 512}, "has --stylegan2-channel-base 256"),
        ("run", {"mapping_layers": 3}, "has the default of --stylegan2-mapping-layers"),
        ("run", {"config": "paper256"}, "has --stylegan2-config auto"),
        ("pkl", {"config": "paper256"}, "has --stylegan2-config auto"),
        ("pkl", {"channel_max": 4}, "has --stylegan2-channel-max"),
        ("pkl", {"clamp": 1.0}, "has --stylegan2-clamp 256.0"),
    ],
)
def test_an_option_that_the_source_decides_is_refused(tmp_path, source, of, option, shown):
    place = source if of == "run" else PKL / "network-snapshot.pkl"
    own = TINY if of == "run" else {}
    ((name, value),) = option.items()
    flag = f"--stylegan2-{name.replace('_', '-')} {value}"

    def begun(**options):
        architecture = chosen("architectures", "stylegan2", **options)
        values = {"architecture": architecture, "size": 32, "transfer": chosen("transfers", "finetune")}
        return begin(config(tmp_path, dataset_size=32, source=str(place), **values), QUIET)

    with pytest.raises(UsageError) as caught:
        begun(**own | option)
    text = str(caught.value)
    assert text.startswith(f"{flag}: the source {place} {shown}")
    assert text.endswith(f"leave {flag} out")
    assert "\n" not in text
    assert begun(**own).config.size == 32  # so it works


def test_another_architecture_than_the_source_is_refused(tmp_path, source):
    changes = {"architecture": chosen("architectures", "biggan", width=3), "size": 32}
    with pytest.raises(
        UsageError,
        match=r"--arch biggan: .* is of the architecture stylegan2; leave --arch and the options of biggan out",
    ):
        begin(
            config(tmp_path, dataset_size=32, source=str(source), transfer=chosen("transfers", "finetune"), **changes),
            QUIET,
        )


def test_path_length_on_another_architecture_is_refused(tmp_path):
    changes = {"architecture": registry.choose("architectures", "biggan", biggan.options()), "steps": 1}
    with pytest.raises(UsageError, match="--pathlength: the generator has no w space"):
        started(tmp_path, regularizers=(chosen("regularizers", "pathlength"),), **changes)


def test_the_average_follows_buffers_by_copy(tmp_path):
    folder = started(tmp_path, steps=2, save_every=2)
    tensors, _ = storage.read_tensors(run.checkpoints(folder)[-1][1])
    live = tensors["generator.mapping.w_avg"]
    averages = [
        t for name, t in tensors.items() if name.endswith("mapping.w_avg") and not name.startswith("generator.")
    ]
    assert averages
    assert all(torch.equal(average, live) for average in averages)


def test_photos_and_fakes_are_judged_apart(tmp_path, monkeypatch):
    counts = []
    forward = Discriminator.features
    monkeypatch.setattr(
        Discriminator, "features", lambda self, images: counts.append(len(images)) or forward(self, images)
    )
    started(tmp_path, steps=1)
    assert counts == [4, 4, 4, 4]  # fakes, photos, the photos of R1; then G's fakes
