"""Sources by name out of packages, and licences that go with what is trained from them."""

import hashlib
import json
import shutil
from pathlib import Path

import packages
import pytest
from drawn import smooth

import fewgan
from fewgan import registry, run, storage
from fewgan.errors import UsageError
from fewgan.photos.prepare import prepare
from fewgan.screen import Screen
from fewgan.sources import known
from fewgan.training.config import Config
from fewgan.training.loop import train

QUIET = Screen(quiet=True)
GOLDEN = Path(__file__).parents[1] / "golden" / "biggan-32"
PLUGIN = """
    from fewgan.plugin import Plugin
    from fewgan.architectures.biggan import Options, build
    plugin = Plugin(api=1, summary="of a test", options=Options, build=build, sources={place!r})
"""
TABLE = """
[moons-32]
summary = "moons, 32 px"
licence = "CC BY 4.0 (moons.example)"
get = "https://moons.example/files"
files = [{ name = "G_ema_moons.pth" }, { name = "D_moons.pth" }]

[embedded]
summary = "not fewgan's own"
licence = "none"
get = "https://moons.example/files"
files = [{ name = "G.pth" }]
"""


def install(folder, monkeypatch, table=TABLE, place="moons_plugin_data:table.toml"):
    packages.install(
        folder, "fewgan-moons", {"architectures": ["moons = moons_plugin:plugin"]},
        {"moons_plugin": PLUGIN.format(place=place)},
    )  # fmt: skip
    (folder / "moons_plugin_data").mkdir()
    (folder / "moons_plugin_data" / "__init__.py").touch()
    (folder / "moons_plugin_data" / "table.toml").write_text(table)
    monkeypatch.syspath_prepend(str(folder))
    known.of_plugin.cache_clear()
    for name in ("moons_plugin", "moons_plugin_data"):
        monkeypatch.delitem(__import__("sys").modules, name, raising=False)


@pytest.fixture
def moons(tmp_path, monkeypatch):
    """The package, and where its files belong."""
    install(tmp_path / "site", monkeypatch)
    monkeypatch.setenv("FEWGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sources" / "moons-32"


@pytest.fixture
def got(moons):
    moons.mkdir(parents=True)
    shutil.copy(GOLDEN / "G_ema.pth", moons / "G_ema_moons.pth")
    shutil.copy(GOLDEN / "D.pth", moons / "D_moons.pth")
    return moons


def test_a_package_brings_sources(moons, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"moons-32: is not downloaded.*moons\.example/files and put G_ema_moons\.pth"):
        known.locate("moons-32")
    with pytest.raises(UsageError, match="did you mean moons-32"):
        known.locate("moons-33")
    assert "fewgan" in known.sources()["embedded"]["summary"]
    (tmp_path / "moons-32").mkdir()
    assert known.locate("./moons-32") == Path("./moons-32")
    assert known.locate(str(tmp_path / "moons-32")) == tmp_path / "moons-32"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("[x", "damaged"),
        ('[x]\nsummary = "s"\nlicence = "l"\nget = "g"', "'files'"),
        ('[x]\nsummary = "s"\nlicence = ""\nget = "g"\nfiles = []', "x: a name has"),
        ('[X]\nsummary = "s"\nlicence = "l"\nget = "g"\nfiles = []', "X: a name has"),
        ('[x]\nsummary = "s"\nlicence = "l"\nget = "g"\nfiles = [{ name = "../G.pth" }]', "is no path"),
    ],
)
def test_a_damaged_table_names_its_plugin(tmp_path, monkeypatch, table, words):
    install(tmp_path, monkeypatch, table)
    with pytest.raises(UsageError, match=r"sources, moons_plugin_data:table\.toml, is damaged") as caught:
        known.locate("moons-32")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert known.locate("embedded").is_dir()


def test_a_table_that_is_not_there(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, place="moons_plugin_data:none.toml")
    with pytest.raises(UsageError, match=r"moons: its table of sources, .* cannot be read"):
        known.locate("moons-32")


def trained(folder, data, source, screen=QUIET):
    transfer = registry.choose("transfers", "finetune")
    architecture = registry.choose("architectures", "biggan")
    return train(
        Config(
            data=str(data), out=str(folder), source=str(source), architecture=architecture, transfer=transfer,
            steps=1, batch_size=2, d_steps=1,
        ),
        screen,
    ).folder  # fmt: skip


def test_the_licence_is_said_and_goes_from_run_to_run(got, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(3):
        smooth(40, 40, index).save(photos / f"{index}.png")
    prepare(photos, tmp_path / "data", size=32, workers=1, screen=QUIET)
    first = trained(tmp_path / "runs", tmp_path / "data", "moons-32", Screen())
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Source: the licence")]
    assert said == [
        "Source: the licence of moons-32, which goes with what is trained from it: CC BY 4.0 (moons.example)"
    ]
    expected = [{"source": "moons-32", "licence": "CC BY 4.0 (moons.example)"}]
    assert json.loads((first / "config.json").read_text())["licences"] == expected
    second = trained(tmp_path / "runs", tmp_path / "data", first / run.GENERATOR)
    for place in (first, first / run.GENERATOR, second, second / run.GENERATOR):
        assert fewgan.load(place).config["licences"] == expected
    assert storage.read_facts(second / run.GENERATOR)[0]["config"]["licences"] == expected
    fewgan.load(second).save(tmp_path / "shared")
    assert fewgan.load(tmp_path / "shared").config["licences"] == expected


def test_a_file_is_known_by_its_own_name_alone(got, tmp_path):
    assert fewgan.load(got).config["licences"] == [{"source": "moons-32", "licence": "CC BY 4.0 (moons.example)"}]
    assert fewgan.load(got / "G_ema_moons.pth").config["licences"][0]["source"] == "moons-32"
    # G_ema.pth is what several sources call theirs, so it tells nothing.
    assert fewgan.load(GOLDEN).config["licences"] == []
    assert fewgan.load("embedded").config["licences"] == [{"source": "embedded", "licence": "MIT"}]


def test_a_file_with_another_content_is_not_the_source(got, tmp_path, monkeypatch):
    sha256 = hashlib.sha256((GOLDEN / "G_ema.pth").read_bytes()).hexdigest()
    for known_sha, found in ((sha256, ["moons-32"]), ("0" * 64, [])):
        table = TABLE.replace(
            '"G_ema_moons.pth" }, { name = "D_moons.pth" }', f'"G_ema_moons.pth", sha256 = "{known_sha}" }}'
        )
        monkeypatch.undo()
        install(tmp_path / known_sha, monkeypatch, table)
        assert [one["source"] for one in fewgan.load(got).config["licences"]] == found


@pytest.mark.parametrize("carried", [None, 3, "MIT", [3, {"source": "x"}, {"source": 1, "licence": "MIT"}]])
def test_what_a_file_claims_is_looked_at(carried, tmp_path):
    content = {"licences": carried, "network_classes": 0}
    assert known.licences(tmp_path, content) == []
    one = {"source": "a", "licence": "b"}
    assert known.licences(tmp_path, {**content, "licences": [one, one]}) == [one]
