"""Inception features against the reference's numbers; the weights file in all the states a user may have it in."""

import subprocess
import sys
from urllib.error import URLError

import pytest
import torch
from goldens import found as goldens
from safetensors.torch import load_file, save_file
from seeded import inception_weights

from fewgan.features.inception import Options, build, plugin, weights
from fewgan.features.inception.network import Inception, by_shape
from fewgan.plugin import Features, FewganError, UsageError, read_weights


@pytest.fixture(scope="module")
def state():
    return inception_weights()


@pytest.fixture(scope="module")
def network(state):
    return Inception(state, score_name="seeded")


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """No weights anywhere, no network; the folder that stands for the cache."""

    def refused(*args, **kwargs):
        raise URLError("Name or service not known")

    for name in (weights.VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FEWGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("urllib.request.urlopen", refused)
    return tmp_path


def standard(monkeypatch, path, content=b"the standard file"):
    """Makes `content` the standard file, and puts it at path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    monkeypatch.setattr(weights, "SHA256", weights.sha256(path))
    return path


# The network ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", goldens("fid/io.safetensors"), ids=str)
def test_features_of_the_reference(network, path):
    io = load_file(path)
    for key in sorted(name.removeprefix("images_") for name in io if name.startswith("images_")):
        with torch.no_grad():
            made = network(io[f"images_{key}"])
        expected = io[f"pool2048_pytorch_fid_{key}"]
        assert made.dtype == torch.float32
        assert made.shape == expected.shape
        assert (made - expected).norm() <= 1e-4 * expected.norm()


def test_maps_are_those_that_the_features_come_from(network):
    images = torch.randint(0, 256, (2, 3, 40, 48), dtype=torch.uint8)
    floats = images.float().requires_grad_()
    found = network.maps(floats)
    assert [tuple(one.shape[1:]) for one in found] == [
        (64, 147, 147),
        (192, 71, 71),
        (288, 35, 35),
        (768, 17, 17),
        (2048, 8, 8),
    ]
    with torch.no_grad():
        assert torch.allclose(found[-1].mean(dim=(2, 3)), network(images), rtol=1e-4, atol=1e-6)
    (gradient,) = torch.autograd.grad(sum(one.sum() for one in found), floats)
    assert gradient.isfinite().all()
    assert gradient.any()


def test_the_names_are_those_of_the_standard_file():
    names = by_shape().state_dict()
    assert len(names) == 566
    assert all(tensor.is_meta for tensor in names.values())  # by shape alone


def test_it_is_a_features_plugin(network):
    assert isinstance(network, Features)
    assert network.dim == 2048
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.train().training  # dropout stays off


def test_counters_may_be_missing_as_in_old_files(state):
    Inception({name: tensor for name, tensor in state.items() if "tracked" not in name}, score_name="old")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda s: s.pop("Mixed_7c.branch_pool.bn.running_var"),
            "tensor Mixed_7c.branch_pool.bn.running_var is missing",
        ),
        (lambda s: s.update(extra=torch.zeros(1)), "tensor extra is not part of this network"),
        (lambda s: s.update({"fc.bias": torch.zeros(1000)}), r"tensor fc.bias is \[1000\], \[1008\] expected"),
        (lambda s: s.update({"fc.bias": torch.full((1008,), torch.nan)}), "fc.bias contains NaN or infinity"),
    ],
)
def test_weights_that_do_not_fit_name_the_tensor(state, change, words):
    changed = dict(state)
    change(changed)
    with pytest.raises(UsageError, match=words) as caught:
        Inception(changed, score_name="x", source="my.pth")
    assert "my.pth" in str(caught.value)


# The file -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["compiled", "parallel", "both", "nested", "module", "old", "safetensors"])
def test_weights_in_every_usual_form(tmp_path, state, form):
    """As torch.compile, DataParallel and training scripts save them, and a module pickled whole."""
    prefix = {"compiled": "_orig_mod.", "parallel": "module.", "both": "_orig_mod.module."}.get(form, "")
    content = {prefix + name: tensor for name, tensor in state.items()}
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "module":
        whole = by_shape()
        whole.load_state_dict(state, assign=True)
        torch.save(whole, path)
    elif form == "safetensors":
        save_file({f"_orig_mod.{name}": tensor for name, tensor in content.items()}, path)
    else:
        torch.save(
            {"state_dict": content, "epoch": 3} if form == "nested" else content,
            path,
            _use_new_zipfile_serialization=form != "old",
        )
    found = read_weights(path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("name", ["mine.pth", "mine.safetensors"])
def test_another_file_never_gives_a_fid(alone, state, network, name):
    path = alone / name
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    built = plugin.build(Options(weights=str(path)))
    assert built.score_name == f"Fréchet distance ({name})"
    assert built.identity == f"inception-v3:{weights.sha256(path)}"
    images = torch.randint(0, 256, (1, 3, 20, 30), dtype=torch.uint8)
    assert torch.equal(built(images), network(images))


def test_the_standard_file_is_known_by_its_hash_wherever_it_lies(alone, monkeypatch):
    path = standard(monkeypatch, alone / "renamed.bin")
    assert weights.find(str(path)) == weights.Found(path, weights.SHA256)
    monkeypatch.setenv(weights.VARIABLE, str(path))
    assert weights.find() == weights.Found(path, weights.SHA256)
    assert weights.find().score_name == "FID"
    assert weights.find().identity == f"inception-v3:{weights.SHA256}"
    other = alone / "other.bin"
    other.write_bytes(b"other")
    assert weights.find(str(other)).score_name == "Fréchet distance (other.bin)"  # what is named wins


@pytest.mark.parametrize("place", ["cache", "torch/hub/checkpoints"])
def test_a_cached_file_is_used(alone, monkeypatch, place):
    path = standard(monkeypatch, alone / place / weights.NAME)
    assert weights.find() == weights.Found(path, weights.SHA256)


def test_it_is_downloaded_once_and_a_damaged_one_again(alone, monkeypatch):
    standard(monkeypatch, alone / "upstream")
    calls = []

    def download(url, path, *, sha256, **_):
        calls.append((url, sha256))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes((alone / "upstream").read_bytes())

    monkeypatch.setattr("fewgan.sources.download.download", download)
    kept = alone / "cache" / weights.NAME
    assert weights.find() == weights.find() == weights.Found(kept, weights.SHA256)
    assert calls == [(weights.URL, weights.SHA256)]
    kept.write_bytes(b"cut of")
    weights.find()
    assert len(calls) == 2


def test_without_network_and_file_it_says_where_to_get_it_and_where_to_put_it(alone):
    with pytest.raises(FewganError) as caught:
        build(Options())
    message = str(caught.value)
    assert not isinstance(caught.value, UsageError)  # exit code 1
    assert "\n" not in message
    for words in (weights.URL, str(alone / "cache" / weights.NAME), "--inception-weights FILE", weights.VARIABLE):
        assert words in message


def test_a_cache_that_cannot_be_made(alone, monkeypatch):
    (alone / "file").write_text("")
    monkeypatch.setenv("FEWGAN_CACHE", str(alone / "file"))
    with pytest.raises(FewganError, match="could not be downloaded"):
        weights.find()


def test_a_named_file_that_is_not_there(alone, monkeypatch):
    with pytest.raises(UsageError, match=r"--inception-weights gone\.pth: no such file"):
        weights.find("gone.pth")
    monkeypatch.setenv(weights.VARIABLE, str(alone))  # a folder
    with pytest.raises(UsageError, match=f"{weights.VARIABLE} {alone}: no such file"):
        weights.find()


class Evil:
    def __reduce__(self):
        return (print, ("code in the file ran",))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("empty", "an empty file"),
        ("text", "neither a pickle nor a file of torch.save"),
        ("pointer", "a Git LFS pointer"),
        ("page", "a web page"),
        ("list", "but an object of type list"),
        ("code", "but an object of class print"),
        ("safetensors", "not a safetensors file"),
    ],
)
def test_files_that_are_no_weights_are_named(tmp_path, capsys, kind, words):
    path = tmp_path / ("a.safetensors" if kind == "safetensors" else "a.pth")
    head = {"empty": b"", "pointer": b"version https://git-lfs.github.com/spec/v1\n", "page": b"<!DOCTYPE html>"}
    path.write_bytes(head.get(kind, b"hello, this is not a weights file"))
    if kind in ("list", "code"):
        torch.save([1, 2] if kind == "list" else Evil(), path)
    with pytest.raises(UsageError, match=r"a\.(pth|safetensors): ") as caught:
        read_weights(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "ran" not in capsys.readouterr().out


def test_listing_its_options_imports_no_torch():
    code = "import sys, fewgan.features.inception as i; i.plugin.options(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
