"""What is scored: which generator a run stands for, its own photos by name, a dataset."""

import shutil

from scored import scored

from fewgan import run


def test_the_last_generator_has_scores_of_its_own_where_a_best_one_is(here):
    folder = here / "runs" / "00001-dataset-biggan"
    assert scored(folder / run.GENERATOR).files[0].parent == folder / "fid"
    shutil.copy(folder / "generators" / "000200.safetensors", folder / run.BEST)
    best, last = scored(folder), scored(folder / run.GENERATOR)
    assert (best.files[0].parent, last.files[0].parent) == (folder / "fid", folder / "fid" / "last")
    assert best.main.kid != last.main.kid
    assert (best.target, last.target) == ("00001-dataset-biggan", "00001-dataset-biggan-last")


def test_the_runs_own_dataset_named_is_the_same_as_not_named(here):
    folder = here / "runs" / "00001-dataset-biggan"
    unnamed, named = scored(folder), scored(folder, against=here / "dataset")
    assert unnamed.rows == named.rows


def test_a_dataset_is_scored_by_as_many_photos_as_asked_for(here):
    assert scored(here / "dataset", against=here / "photos", count=10).main.count == 10
    assert scored(here / "dataset", against=here / "photos", count=100).main.count == 24
