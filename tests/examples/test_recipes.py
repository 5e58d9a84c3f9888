"""The recipes, up to the plan of their training, with small sources in the place of the pretrained ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from drawn import draw

from fewgan.photos.prepare import prepare
from fewgan.registry import choose
from fewgan.screen import Screen

QUIET = Screen(quiet=True)
RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
SOURCES = {
    "gpu-128-imagenet": ("biggan", {"width": 2}, 128),
    "gpu-256-ffhq": ("stylegan2", {"channel_base": 512, "channel_max": 16}, 256),
}


def source(folder: Path, name: str, options: dict, size: int) -> Path:
    """A pretrained GAN of an architecture's public layout, untrained."""
    plugin, _ = choose("architectures", name).plugin()
    networks = plugin.build(plugin.options(**options), size=size, classes=0).with_discriminator()
    folder.mkdir()
    for file, state in plugin.write(networks).items():
        torch.save(state, folder / file)
    return folder


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.sh")), ids=lambda path: path.stem)
def test_a_recipe_comes_to_its_plan(recipe, tmp_path):
    """Its dataset is there already: what `fewgan prepare` does is tested elsewhere."""
    prepare(draw(tmp_path / "photos", 24, side=260), tmp_path / "x", size=256, holdout=4, workers=1, screen=QUIET)
    for size in (64, 128, 256):
        (tmp_path / f"dataset-{size}").symlink_to(tmp_path / "x")
    environment = os.environ | {"DRY": "1", "OMP_NUM_THREADS": "1", "FEWGAN_CACHE": str(tmp_path / "cache")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    if recipe.stem in SOURCES:
        environment["SOURCE"] = str(source(tmp_path / "source", *SOURCES[recipe.stem]))
    done = subprocess.run(
        ["bash", recipe, "photos"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert "parameters" in done.stdout


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.sh")), ids=lambda path: path.stem)
def test_a_recipe_says_what_it_needs_first(recipe):
    head = recipe.read_text().split("#\n")[0]
    for word in ("Device:", "Time:", "Needs:", "Scores:"):
        assert f"\n# {word}" in head
