"""The rendered planets that the demo, the study and the source that comes with fewgan are made of."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import planets  # noqa: E402

sys.path.remove(str(EXAMPLES))  # onnx.py there has the name of a package


def pixels(name, seed, size):
    return np.asarray(planets.render(name, seed, size), dtype=float)


@pytest.mark.parametrize("name", planets.CLASSES)
def test_a_planet_depends_on_class_and_seed_alone(name):
    first = planets.render(name, 3, 64)
    assert first.mode == "RGB"
    assert first.size == (64, 64)
    planets.render("ocean", 8, 32)
    assert planets.render(name, 3, 64).tobytes() == first.tobytes()
    assert planets.render(name, 4, 64).tobytes() != first.tobytes()


@pytest.mark.parametrize("name", planets.CLASSES)
def test_another_size_is_the_same_planet(name):
    small = pixels(name, 5, 64)
    large = np.asarray(planets.render(name, 5, 192).resize((64, 64), Image.Resampling.BOX), dtype=float)
    assert np.abs(small - large).mean() < 8
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.9


def test_odd_and_small_sizes():
    assert planets.render("ringed", 1, 33).size == (33, 33)
    assert planets.render("rocky", 1, 8).size == (8, 8)
    with pytest.raises(ValueError, match="at least 8"):
        planets.render("rocky", 1, 4)
    with pytest.raises(KeyError):
        planets.render("square", 1, 64)


def test_classes_are_told_apart_by_their_colours():
    """The nearest class mean names most pictures, by mean and spread of colour in the middle alone."""

    def describe(name, seed):
        middle = pixels(name, seed, 32)[8:24, 8:24].reshape(-1, 3)
        lit = middle[middle.sum(1) > 60]
        return np.concatenate([lit.mean(0), lit.std(0)]) if len(lit) else np.zeros(6)

    known = {name: np.mean([describe(name, seed) for seed in range(12)], 0) for name in planets.CLASSES}
    guesses = [
        min(known, key=lambda other: np.abs(known[other] - describe(name, seed)).sum()) == name
        for name in planets.CLASSES
        for seed in range(20, 28)
    ]
    assert np.mean(guesses) > 0.5  # an eighth by chance


def test_pictures_are_lit_planets_before_dark_space():
    for name in planets.CLASSES:
        picture = pixels(name, 11, 64)
        assert picture[:4, :4].mean() < 60
        assert picture[16:48, 16:48].max() > 120


@pytest.mark.parametrize("name", planets.CLASSES)
def test_rings_on_demand_reach_into_space_on_both_sides(name):
    picture = np.asarray(planets.render(name, 5, 64, rings=True), dtype=float).mean(2)
    beside = picture[:, :13], picture[:, 51:]  # no planet with rings is so wide, and stars are few
    assert min((part > 60).sum() for part in beside) > 30
    if name == "ringed":
        assert planets.render(name, 5, 64).tobytes() == planets.render(name, 5, 64, rings=True).tobytes()


def test_the_command(tmp_path):
    script = [sys.executable, EXAMPLES / "planets.py", tmp_path, "--classes", "ice", "ringed", "--count", "2"]
    done = subprocess.run([*script, "--size", "32", "--seed", "1"], check=True, capture_output=True, text=True)
    assert "4 pictures" in done.stdout
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*"))
    assert files == ["ice/000000.png", "ice/000001.png", "ringed/000000.png", "ringed/000001.png"]
    written = Image.open(tmp_path / "ringed" / "000001.png")
    assert written.tobytes() == planets.render("ringed", 1_000_001, 32).tobytes()
    subprocess.run([*script, "--size", "32", "--rings"], check=True, capture_output=True)
    assert Image.open(tmp_path / "ice" / "000001.png").tobytes() == planets.render("ice", 1, 32, rings=True).tobytes()
