"""The page for a model, with a stand-in for gradio, which the tests do not install."""

import runpy
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np

import fewgan

ROOT = Path(__file__).parents[2]


def test_it_has_no_truncation_where_the_model_has_none_and_the_shape_of_the_photos(monkeypatch, tmp_path):
    gradio = MagicMock()
    monkeypatch.setitem(sys.modules, "gradio", gradio)
    model = fewgan.load("embedded")
    model.config |= {"truncates": False, "crop": "stretch", "aspect": 2.0}
    monkeypatch.setattr(fewgan, "load", lambda _: model)
    drawn = runpy.run_path(str(ROOT / "examples" / "space" / "app.py"))["draw"](3, 0.5, "any")
    assert (drawn[0][0] == model.shaped(model.sample(9, seed=3))[0].permute(1, 2, 0).numpy()).all()
    assert drawn[0][0].shape == (64, 128, 3)
    assert gradio.Slider.call_args.kwargs["visible"] is False


def test_it_draws_what_the_model_samples(monkeypatch):
    gradio = MagicMock()
    monkeypatch.setitem(sys.modules, "gradio", gradio)
    monkeypatch.delenv("MODEL", raising=False)
    app = runpy.run_path(str(ROOT / "examples" / "space" / "app.py"))
    model = fewgan.load("embedded")
    drawn = app["draw"](3.0, 0.5, "any")
    expected = model.sample(9, seed=3, truncation=0.5)
    assert len(drawn) == 9
    assert (np.stack([image for image, _ in drawn]) == expected.permute(0, 2, 3, 1).numpy()).all()
    assert (app["draw"](3, 0.5, model.classes[1])[0][0] != drawn[0][0]).any()
    assert gradio.Dropdown.call_args.args[0] == ["any", *model.classes]
    assert not gradio.Blocks.return_value.__enter__.return_value.launch.called
