"""--score-every: scores in the metrics, the best generator kept, an end by --patience, exact resume."""

import math
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from drawn import draw
from packages import install
from seeded import write_inception
from short import draw_folder

from fewgan import run, storage
from fewgan.features.inception import Options as InceptionOptions
from fewgan.photos.prepare import prepare
from fewgan.plugin import UsageError
from fewgan.registry import Choice, choose
from fewgan.sampling.sample import sample
from fewgan.screen import Screen
from fewgan.sources.load import load
from fewgan.testing.base import config
from fewgan.training.loop import resume, train

KIDS = {4: 0.5, 8: 0.2, 12: 0.3, 16: 0.25, 20: 0.1}


MEANS = """
    import torch
    from dataclasses import dataclass
    from fewgan.plugin import Plugin

    @dataclass(frozen=True, kw_only=True)
    class Options:
        pass

    class Means(torch.nn.Module):
        dim, score_name, identity = 12, "distance of means", "means"

        def forward(self, images):
            return torch.nn.functional.adaptive_avg_pool2d(images.float() / 255, 2).flatten(1)

    plugin = Plugin(api=1, summary="Means", options=Options, build=lambda options: Means())
"""


@pytest.fixture(autouse=True)
def few(monkeypatch, tmp_path, tiny_installed):
    """Few pictures, and features that are quick."""
    install(tmp_path / "site", "fewgan-means", {"features": ["means = means_plugin:plugin"]}, {"means_plugin": MEANS})
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setenv("FEWGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("fewgan.training.best.PICTURES", 16)


@pytest.fixture
def scripted(monkeypatch):
    steps = iter(KIDS.values())

    class Kernel:
        full = 0.0

    def kid(*_, **__):
        kernel = Kernel()
        kernel.full = next(steps)
        return kernel

    monkeypatch.setattr("fewgan.training.best.distances.kid", kid)


def scored(folder, **more):
    """Of 12 photos, none held out."""
    if not (folder / "dataset").exists():
        prepare(draw(folder / "photos", 12), folder / "dataset", size=16, screen=Screen(quiet=True))
    values = {"score_every": 4, "save_every": 6, "features": choose("features", "means")} | more
    return config(folder, steps=20, **values)


def kids(folder):
    return {line["step"]: line["kid"] for line in run.read_metrics(folder) if "kid" in line}


def steps_of(path):
    return storage.read_facts(path)[0]["step"]


def test_the_best_is_kept_and_taken(tmp_path, scripted, capsys):
    done = train(scored(tmp_path), Screen(quiet=False))
    assert kids(done.folder) == KIDS
    assert (done.best_step, done.step, steps_of(done.folder / run.BEST)) == (20, 20, 20)
    error = capsys.readouterr().err
    assert error.count("Score at step 4: KID 0.5000 (means features, 16 pictures, 12 training photos); each takes") == 1
    assert "fewer than 2 photos are held out" in error
    made = sample(done.folder, count=1, out=tmp_path / "pictures", device="cpu", screen=Screen())
    assert len(made.files) == 1
    assert "Generator: best.safetensors of step 20, the one with the best score" in capsys.readouterr().err


def test_a_run_that_is_too_short_for_a_score_is_told(tmp_path, capsys):
    train(replace(scored(tmp_path), steps=2), Screen(quiet=False))
    assert "--score-every 4: more than the 2 steps of this run, which gets no score" in capsys.readouterr().err


def test_a_score_that_is_not_a_number_is_no_best(tmp_path, monkeypatch):
    found = iter((math.nan, 0.5, 0.2, 0.3, 0.1))
    monkeypatch.setattr("fewgan.training.best.distances.kid", lambda *_, **__: SimpleNamespace(full=next(found)))
    done = train(scored(tmp_path), Screen(quiet=True))
    assert kids(done.folder)[4] is None
    assert (done.best_step, steps_of(done.folder / run.BEST)) == (20, 20)


def test_patience_counts_scores_that_are_not_numbers(tmp_path, monkeypatch, capsys):
    found = iter((0.5, math.nan, math.nan, 0.1))
    monkeypatch.setattr("fewgan.training.best.distances.kid", lambda *_, **__: SimpleNamespace(full=next(found)))
    done = train(scored(tmp_path, patience=2), Screen(quiet=False))
    assert (done.step, done.best_step) == (12, 4)
    assert capsys.readouterr().err.count("the score is NaN or infinite and is ignored") == 2


def test_patience_ends_the_run_with_everything_saved(tmp_path, scripted, capsys):
    done = train(scored(tmp_path, patience=2), Screen(quiet=False))
    assert (done.step, done.best_step, steps_of(done.folder / run.BEST)) == (16, 8, 8)
    assert run.checkpoints(done.folder)[-1][0] == 16
    assert "Stopped at step 16: no better score in the last 2 scores (best: step 8)" in capsys.readouterr().err
    again = resume(str(done.folder), Screen(quiet=True))
    assert (again.step, again.best_step) == (16, 8)
    further = resume(str(done.folder), Screen(quiet=True), patience=3)
    assert (further.step, further.best_step, steps_of(done.folder / run.BEST)) == (20, 20, 20)


def test_patience_for_a_run_without_scores_is_refused(tmp_path):
    done = train(config(tmp_path, steps=2), Screen(quiet=True))
    with pytest.raises(UsageError, match="was started without --score-every and has no scores; leave it out"):
        resume(str(done.folder), Screen(quiet=True), patience=3)


def test_it_is_kept_whatever_is_saved(tmp_path):
    """Real scores: best.safetensors is the average of that step, byte for byte that of a save then."""
    done = train(scored(tmp_path, save_every=4, keep_generators=True), Screen(quiet=True))
    found = kids(done.folder)
    best = min(found, key=found.get)
    assert steps_of(done.folder / run.BEST) == best == done.best_step
    tensors = storage.read_tensors(done.folder / run.BEST)[0]
    kept = storage.read_tensors(done.folder / "generators" / f"{best:06d}.safetensors")[0]
    assert tensors.keys() == kept.keys()
    assert all(torch.equal(tensors[name], kept[name]) for name in kept)
    assert load(done.folder).config["score_every"] == 4


def test_scoring_changes_nothing_and_a_resume_is_exact(tmp_path):
    whole = train(scored(tmp_path / "a"), Screen(quiet=True))
    data = str(tmp_path / "a" / "dataset")
    plain = train(config(tmp_path / "b", data=data, steps=20, save_every=6), Screen(quiet=True))
    one, other = (storage.read_tensors(done.folder / run.GENERATOR)[0] for done in (whole, plain))
    assert all(torch.equal(one[name], other[name]) for name in one)
    half = train(replace(scored(tmp_path / "c"), steps=10, planned_steps=20), Screen(quiet=True))
    assert kids(half.folder).keys() == {4, 8}
    resumed = resume(str(half.folder), Screen(quiet=True), steps=20)
    assert kids(resumed.folder) == kids(whole.folder)
    assert resumed.best_step == whole.best_step
    first, second = (storage.read_tensors(done.folder / run.BEST)[0] for done in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_held_out_photos_are_scored_against_and_judged_by_d(tmp_path, capsys):
    draw_folder(tmp_path / "photos", 40)
    prepare(tmp_path / "photos", tmp_path / "dataset", size=16, holdout=16, workers=1, screen=Screen(quiet=True))
    done = train(replace(scored(tmp_path / "x"), data=str(tmp_path / "dataset")), Screen(quiet=False))
    assert "16 held-out photos); each takes" in capsys.readouterr().err
    line = run.read_metrics(done.folder)[-1]
    assert isinstance(line["logit_held_out"], float)


STAGES = """
    import torch
    from dataclasses import dataclass
    from fewgan.plugin import Plugin

    @dataclass(frozen=True, kw_only=True)
    class Options:
        pass

    class Stages(torch.nn.Module):
        conditional, mapper = True, None

        def __init__(self, networks):
            super().__init__()
            self.d = (networks.discriminator,)

        def trainable(self, index, steps):
            return list(self.d[0].parameters()) if index < FROZEN else None

    plugin = Plugin(api=1, summary="Stages", options=Options, build=lambda options, networks: Stages(networks))
"""


@pytest.mark.parametrize(("frozen", "expected"), [(7, [8, 12, 16, 20]), (8, [12, 16, 20]), (99, [4, 8, 12, 16, 20])])
def test_nothing_is_scored_before_g_learns_unless_it_never_does(tmp_path, monkeypatch, frozen, expected):
    source = STAGES.replace("FROZEN", str(frozen))
    transfers = {"transfers": ["stages = stages_plugin:plugin"]}
    install(tmp_path / "more", "fewgan-stages", transfers, {"stages_plugin": source})
    monkeypatch.syspath_prepend(tmp_path / "more")
    monkeypatch.delitem(sys.modules, "stages_plugin", raising=False)
    done = train(scored(tmp_path, transfer=choose("transfers", "stages")), Screen(quiet=True))
    assert list(kids(done.folder)) == expected


def test_features_that_cannot_be_had_are_told_before_anything_is_written(tmp_path):
    nowhere = choose("features", "inception", InceptionOptions(weights="nowhere.pth"))
    with pytest.raises(UsageError, match=r"nowhere\.pth: no such file"):
        train(scored(tmp_path, features=nowhere), Screen(quiet=True))
    assert not (tmp_path / "runs").exists()


def test_files_of_features_are_meant_from_where_a_run_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_inception(tmp_path / "seeded.pth")
    features = choose("features", "inception", InceptionOptions(weights="seeded.pth"))
    done = train(scored(tmp_path, features=features, score_every=20), Screen(quiet=True))
    recorded = run.read_config(done.folder)["features"]["options"]["weights"]
    assert recorded == str((tmp_path / "seeded.pth").resolve())


def test_wrong_use(tmp_path):
    with pytest.raises(UsageError, match="--patience counts scores; add --score-every N"):
        config(tmp_path, patience=3)
    with pytest.raises(UsageError, match="--score-every needs features"):
        config(tmp_path / "y", score_every=3, features=None)


def test_a_single_photo_is_too_few_to_score_against(tmp_path):
    prepare(draw(tmp_path / "photos", 1), tmp_path / "dataset", size=16, screen=Screen(quiet=True))
    with pytest.raises(UsageError, match="--score-every: KID needs 2 photos or more, and the dataset has 1"):
        train(scored(tmp_path), Screen(quiet=True))
    assert not list((tmp_path / "runs").glob("0*"))


def test_features_that_d_learned_from_are_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fewgan.scoring.scorer.Scorer.is_among", lambda scorer, identities: True)
    train(scored(tmp_path, features=Choice(**vars(choose("features", "means")))), Screen(quiet=True))
    assert "D learns from the weights of the means features" in capsys.readouterr().err
