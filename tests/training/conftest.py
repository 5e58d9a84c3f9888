"""A dataset and a source for trainings of a few steps."""

import shutil

import pytest
from short import GOLDEN, QUIET, draw_folder

from fewgan.photos.prepare import prepare


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    draw_folder(folder / "photos", 12)
    prepare(folder / "photos", folder / "dataset", size=32, workers=1, screen=QUIET)
    return folder / "dataset"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    for name in ("G_ema.pth", "D.pth"):
        shutil.copy(GOLDEN / name, folder)
    return folder
