"""Other people's BigGAN weights: StudioGAN's and MineGAN's layouts, files with suffixes, single files."""

import json
import re
import shutil

import pytest
import torch
from goldens import GOLDEN
from safetensors.torch import load_file
from torch import Tensor

import fewgan
from fewgan.architectures.biggan import Options, plugin, studiogan
from fewgan.architectures.biggan.layouts import derive
from fewgan.plugin import UsageError

OWN = GOLDEN / "biggan-32"
BACK = {value: key for key, value in studiogan._NAMES.items() if value not in ("linear", "stored_mean", "stored_var")}


def close(made: Tensor, expected: Tensor) -> bool:
    return bool((made - expected).abs().max() <= 1e-4 * expected.abs().max())


def test_studiogan_golden_numbers():
    model, io = (
        fewgan.load(GOLDEN / "studiogan-biggan-64"),
        load_file(GOLDEN / "studiogan-biggan-64" / "io.safetensors"),
    )
    images = model.generate(io["z"], io["y"])
    assert close(images, io["image_eval"])
    with torch.no_grad():
        assert close(model.discriminator(io["x"], io["y"]), io["logit_real_eval"])
        assert close(model.discriminator(io["image_eval"], io["y"]), io["logit_fake_eval"])
    facts = json.loads((GOLDEN / "studiogan-biggan-64" / "config.json").read_text())
    assert (model.generator.size, model.generator.classes) == (facts["img_size"], facts["num_classes"])
    assert model.architecture.options["channels"] == "128,64,32,16,8"  # no width of the published table gives these
    assert model.architecture.options["attention"] == "32"


def test_minegan_golden_numbers(tmp_path):
    model, io = fewgan.load(GOLDEN / "minegan-64"), load_file(GOLDEN / "minegan-64" / "io.safetensors")
    with torch.no_grad():
        z, condition = model.mapper(io["z"], None)
    assert close(z, io["mined_z"])
    assert close(condition, io["mined_class_embedding"])
    labels = torch.zeros(len(z), dtype=torch.int64)
    assert close(model.generate(io["z"], labels), io["image_eval"])
    assert model.sample(2, truncation=0.5).shape == (2, 3, 64, 64)
    shutil.copytree(GOLDEN / "minegan-64", tmp_path / "broken")
    (tmp_path / "broken" / "M.pth").write_bytes((tmp_path / "broken" / "G.pth").read_bytes())
    with pytest.raises(UsageError, match=r"tensor linear\.weight is \[2048, 24\]"):
        fewgan.load(tmp_path / "broken")
    miner = torch.load(GOLDEN / "minegan-64" / "M.pth", weights_only=True)
    torch.save({**miner, "linear4.bias": torch.full((120,), torch.nan)}, tmp_path / "broken" / "M.pth")
    with pytest.raises(UsageError, match=r"M\.pth: tensor linear4\.bias holds NaN"):
        fewgan.load(tmp_path / "broken")


MINERS = {
    "suffix": ("G_copy0.pth", "M_copy0.pth", lambda state: state),
    "best": ("G_best1.pth", "M_best1.pth", lambda state: state),
    "ending": ("G.pt", "M.pt", lambda state: state),
    "wrapped": ("G.pth", "M.pth", lambda state: {"state_dict": state, "step": 3}),
    "names": ("netG.pth", "miner.pth", lambda state: state),
    "no suffix": ("G_best.pth", "M.pth", lambda state: state),
    "another suffix": ("G.pth", "M_best.pth", lambda state: state),
    "another name": ("G.pth", "netM.pth", lambda state: state),
}


@pytest.mark.parametrize("form", [*MINERS, "one file"])
def test_a_miner_is_read_with_its_generator(tmp_path, form):
    """Without it the pictures are others, and nothing would say so."""
    states = {name: torch.load(GOLDEN / "minegan-64" / f"{name}.pth", weights_only=True) for name in "GM"}
    if form == "one file":
        torch.save(states, tmp_path / "minegan.pth")
    else:
        *names, wrap = MINERS[form]
        for name, state in zip(names, states.values(), strict=True):
            torch.save(wrap(state), tmp_path / name)
    assert torch.equal(fewgan.load(tmp_path).sample(2), fewgan.load(GOLDEN / "minegan-64").sample(2))


@pytest.mark.parametrize("content", [{}, {"epoch": 3}])
def test_what_is_no_miner_is_told(tmp_path, content):
    shutil.copy(GOLDEN / "minegan-64" / "G.pth", tmp_path / "G_ema.pth")
    torch.save(content, tmp_path / "M.pth")
    model = fewgan.load(tmp_path)
    assert model.mapper is None
    assert model.config["notes"] == ["M.pth is no miner of MineGAN's code and is not read"]


def own() -> dict[str, dict[str, Tensor]]:
    return {name: torch.load(OWN / name, weights_only=True) for name in ("G_ema.pth", "D.pth")}


def as_studiogan(state: dict[str, Tensor], side: str) -> dict[str, Tensor]:
    """The other way round: names, indices, converged u and v, the larger epsilon."""
    made: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if re.search(r"\.(u0|sv0)$", name):
            continue
        parts = name.split(".")
        if parts[0] == "blocks":
            before = sum(f"blocks.{block}.1.gamma" in state for block in range(int(parts[1])))
            parts[1:3] = [str(int(parts[1]) + before + (parts[2] == "1")), "0"]
        place = ".".join("linear0" if part == "linear" and side == "G" else part for part in parts)
        place = place.replace("output_layer.0.gain", "bn4.weight").replace("output_layer.2", "conv2d5")
        place = ".".join(BACK.get(part, part) for part in place.replace("output_layer.0", "bn4").split("."))
        place = re.sub(r"^linear\.", "linear1.", place).replace("weight_orig", "weight")
        inner = "" if place.startswith("bn4") else "bn."
        place = place.replace("stored_mean", f"{inner}running_mean").replace("stored_var", f"{inner}running_var")
        if name.removesuffix("weight") + "u0" in state and name.endswith("weight"):
            u, _, v = torch.linalg.svd(tensor.flatten(1).double(), full_matrices=False)
            made |= {f"{place}_orig": tensor, f"{place}_u": u[:, 0].float(), f"{place}_v": v[0].float()}
        elif place.endswith("gamma"):
            made[place.removesuffix("gamma") + "sigma"] = tensor.reshape(1)
        else:
            made[place] = tensor - (studiogan.EPSILON - 1e-5) if place.endswith("running_var") else tensor
    return made


def converged(state: dict[str, Tensor]) -> dict[str, Tensor]:
    changed = dict(state)
    for name in state:
        if name.endswith("u0"):
            matrix = state[name.removesuffix("u0") + "weight"].flatten(1).double()
            changed[name] = torch.linalg.svd(matrix, full_matrices=False)[0][:, 0].float()[None]
    return changed


def test_studiogan_layout_is_the_same_function(tmp_path):
    torch.manual_seed(0)
    files = {name: converged(state) for name, state in own().items()}
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for folder in (theirs, ours):
        folder.mkdir()
    for name, kind in (("G_ema.pth", "G_ema"), ("D.pth", "D")):
        torch.save(files[name], ours / name)
        content = {"state_dict": as_studiogan(files[name], kind[0]), "step": 100, "run_name": "one"}
        torch.save(content, theirs / f"model={kind}-best-weights-step=100.pth")
    # Others of the same folder, which are not to be taken.
    for other in ("model=G-best-weights-step=100.pth", "model=G_ema-current-weights-step=200.pth"):
        torch.save({"state_dict": {}}, theirs / other)
    one, two = fewgan.load(ours), fewgan.load(theirs)
    z, labels = torch.randn(2, 120), torch.tensor([1, 7])
    images = one.generate(z, labels)
    assert close(two.generate(z, labels), images)
    with torch.no_grad():
        assert close(two.discriminator(images, labels), one.discriminator(images, labels))
    assert two.architecture.options["attention"] == one.architecture.options["attention"] == "16"


@pytest.mark.parametrize("names", [("G_ema.pth", "D.pth"), ("generator.pth", "discriminator.pth")])
def test_studiogan_files_under_other_names(tmp_path, names):
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    for folder in (theirs, ours):
        folder.mkdir()
    for (file, state), name in zip(own().items(), names, strict=True):
        torch.save(converged(state), ours / file)
        torch.save({"state_dict": as_studiogan(converged(state), file[0])}, theirs / name)
    model, expected = fewgan.load(theirs), fewgan.load(ours)
    z, labels = torch.randn(2, 120), torch.tensor([1, 7])
    assert close(model.generate(z, labels), expected.generate(z, labels))
    assert model.discriminator is not None


@pytest.mark.parametrize("inner", ["running", "stored"])
def test_batch_norms_of_several_processes_and_singular_values_that_nobody_reads(tmp_path, inner):
    """BigGAN-PyTorch's --cross_replica, --mybn and --num_G_SVs."""
    for file, state in own().items():
        made = {re.sub(r"\.stored_(mean|var)$", rf".bn.{inner}_\1", name): tensor for name, tensor in state.items()}
        more = {name.replace("0", "1"): tensor for name, tensor in state.items() if re.search(r"\.(u0|sv0)$", name)}
        more = {name: tensor for name, tensor in more.items() if name not in state}
        counts = {"blocks.0.0.bn1.bn.accumulation_counter": torch.zeros(1)} if file == "G_ema.pth" else {}
        made = {name: tensor for name, tensor in made.items() if not name.endswith("sv0")}
        torch.save(made | more | counts, tmp_path / file)
    model, expected = fewgan.load(tmp_path), fewgan.load(OWN)
    assert torch.equal(model.sample(1), expected.sample(1))
    images, labels = torch.zeros(1, 3, 32, 32), torch.tensor([1])
    assert torch.equal(model.discriminator(images, labels), expected.discriminator(images, labels))


@pytest.mark.parametrize("lost", ["linear.bias", "blocks.0.0.conv2.bias"])
def test_a_discriminator_with_a_hole_is_damaged(tmp_path, lost):
    states = own()
    torch.save(states["G_ema.pth"], tmp_path / "G_ema.pth")
    torch.save({name: tensor for name, tensor in states["D.pth"].items() if name != lost}, tmp_path / "D.pth")
    with pytest.raises(UsageError, match=rf"D\.pth: tensor '?{lost}'? is missing"):
        fewgan.load(tmp_path)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["model=G-best-weights-step=5.pth"], ("model=G-best-weights-step=5.pth", None, None)),
        (
            [f"model={name}-weights-step=9.pth" for name in ("G_ema-current", "D-best", "D-current")],
            ("model=G_ema-current-weights-step=9.pth", "model=D-current-weights-step=9.pth", None),
        ),
        (["G_ema.pth", "model=D-best-weights-step=9.pth"], None),
    ],
)  # fmt: skip
def test_which_files_of_studiogan_are_meant(names, expected):
    assert studiogan.choose(names) == expected


def test_a_studiogan_file_that_lacks_a_tensor_is_named(tmp_path):
    state = as_studiogan(own()["G_ema.pth"], "G")
    state.pop("blocks.0.0.conv2d1.weight_v")
    name = "model=G_ema-best-weights-step=1.pth"
    with pytest.raises(UsageError, match=rf"{name}: tensor 'blocks\.0\.0\.conv2d1\.weight_v' is missing"):
        plugin.read({name: {"state_dict": state}})


@pytest.mark.parametrize(
    ("names", "generator", "discriminator"),
    [
        (["G_ema_best.pth", "D_best.pth", "G_best.pth"], "G_ema_best.pth", "D_best.pth"),
        (["G_ema_copy0.pth", "G_ema.pth", "D.pth", "D_copy0.pth"], "G_ema.pth", "D.pth"),
        (["G_copy0.pth", "D_best.pth"], "G_copy0.pth", None),
        (["DiffAugment-biggan-cifar10-0.1.pth"], "DiffAugment-biggan-cifar10-0.1.pth", None),
    ],
)
def test_suffixes_and_single_files(names, generator, discriminator):
    state = own()
    read: list[str] = []

    class Files(dict[str, str]):
        def __getitem__(self, name):
            read.append(name)
            return state["D.pth" if name.startswith("D_") or name == "D.pth" else "G_ema.pth"]

    found = plugin.read(Files.fromkeys(names))
    assert set(read) == {generator, discriminator} - {None}
    assert (found.discriminator is None) == (discriminator is None)
    assert bool(found.notes) == ("G_ema" not in generator and len(names) > 1)


def test_the_cifar_layout_has_a_table_in_each_layer(tmp_path):
    """Of the DiffAugment CIFAR code: not hierarchical, class embedding not shared, no attention."""
    options = Options(
        width=4, attention="none", latent_dim=16, hierarchical=False, shared_embedding=False
    )  # fmt: skip
    networks = plugin.build(options, size=32, classes=10)
    assert networks.generator.state_dict()["blocks.0.0.bn1.gain.weight"].shape == (10, 16)
    (tmp_path / "weights").mkdir()
    torch.save(networks.generator.state_dict(), tmp_path / "weights" / "cifar.pth")
    model = fewgan.load(tmp_path / "weights" / "cifar.pth")
    networks.generator.eval()
    z, labels = torch.randn(2, 16), torch.tensor([3, 9])
    with torch.no_grad():
        assert torch.equal(model.generate(z, labels), networks.generator(z, networks.generator.embed(labels)))
    assert model.discriminator is None
    assert derive(networks.generator.state_dict(), None, "D.pth") == (options, 32, 10)
