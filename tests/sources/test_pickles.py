"""Files of others that hold pickles: everything in them is read, and nothing in them is executed."""

import argparse
import collections
import os
import pickle
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from listening import KINDS, read, save
from torch import nn

from fewgan.errors import UsageError
from fewgan.sources.pickles import Record, networks

GOLDEN = Path(__file__).parents[1] / "golden"
OFFICIAL = GOLDEN / "stylegan2-pkl" / "network-snapshot.pkl"
ROSINALITY = GOLDEN / "stylegan2-rosinality" / "010000.pt"


class Net(nn.Module):
    """Every kind of state that a module has."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 4, bias=False))
        self.embedding = nn.Embedding(4, 4)
        self.body[2].weight = self.embedding.weight  # tied
        self.register_buffer("table", torch.arange(6).reshape(2, 3).T)
        self.register_buffer("passing", torch.ones(2), persistent=False)
        self.register_buffer("absent", None)
        self.scale = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        self.scale.note = "a parameter with attributes"
        self.normed = nn.utils.spectral_norm(nn.Linear(2, 3))
        self.nothing = None
        self.optional = nn.Identity()
        self.activation = torch.nn.functional.relu
        self.options = argparse.Namespace(size=32, names={"a", "b"}, at=Path("x"))


def same(ours, theirs):
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        assert type(ours[name]) is torch.Tensor
        assert ours[name].dtype == tensor.dtype
        assert ours[name].device.type == "cpu"
        assert not ours[name].requires_grad
        assert torch.equal(ours[name], tensor), name


def reference(path):
    """The state dicts of an official file by torch's own functions, as its loader makes them, without running it."""

    class Trusting(pickle.Unpickler):
        def find_class(self, module, name):
            if name == "_reconstruct_persistent_obj":
                return lambda facts: types.SimpleNamespace(**facts["state"])
            return dict if name == "EasyDict" else super().find_class(module, name)

    def state(module, prefix=""):
        own = {**module._parameters, **module._buffers}
        found = {
            prefix + name: value.detach()
            for name, value in own.items()
            if value is not None and name not in module._non_persistent_buffers_set
        }
        for name, child in module._modules.items():
            found |= state(child, f"{prefix}{name}.") if child is not None else {}
        return found

    with path.open("rb") as file:
        content = Trusting(file).load()
    return {name: state(module) for name, module in content.items() if name != "training_set_kwargs"}


def test_an_official_file():
    expected, content = reference(OFFICIAL), read(OFFICIAL)
    found = networks(content)
    assert list(found) == list(expected) == ["G", "D", "G_ema", "augment_pipe"]
    for name, state in expected.items():
        same(found[name].state, state)
    assert found["augment_pipe"].state["p"] == torch.tensor(0.35)
    assert found["G_ema"].class_name == "Generator"
    assert found["G_ema"].kwargs["img_resolution"] == 32
    assert found["G_ema"].kwargs["synthesis_kwargs"]["channel_base"] == 512
    gain = found["G_ema"].record.state["_modules"]["mapping"].state["_modules"]["fc0"].state["weight_gain"]
    assert type(gain) is float


def test_a_training_checkpoint_of_rosinality():
    content = read(ROSINALITY)
    with torch.serialization.safe_globals([argparse.Namespace]):
        expected = torch.load(ROSINALITY, weights_only=True)
    for name in ("g", "d", "g_ema"):
        same(content[name], expected[name])
    assert content["args"].name == "Namespace"
    assert content["args"].state == vars(expected["args"])
    assert content["g_optim"]["param_groups"] == expected["g_optim"]["param_groups"]
    moments = expected["g_optim"]["state"]
    for index, slots in moments.items():
        assert all(
            torch.equal(content["g_optim"]["state"][index][name], torch.as_tensor(slots[name])) for name in slots
        )
    assert networks(content) == {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_whole_module(tmp_path, kind):
    net = Net()
    found = networks(read(save(net, tmp_path / "net", kind)))
    assert list(found) == [""]
    same(found[""].state, net.state_dict())
    assert found[""].class_name == "Net"
    assert found[""].state["body.2.weight"].data_ptr() == found[""].state["embedding.weight"].data_ptr()
    options = found[""].record.state["options"]
    assert (options.state["size"], options.state["names"]) == (32, {"a", "b"})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_modules_in_a_dictionary(tmp_path, kind):
    G, D = nn.DataParallel(Net()), nn.Linear(2, 1)
    content = {"G": G, "D": D, "G_ema": G.module, "models": [D, {"E": D}], "step": 5, "optimizer": {"state": {}}}
    found = networks(read(save(content, tmp_path / "nets", kind)))
    assert list(found) == ["G", "D", "G_ema", "models.0", "models.1.E"]
    same(found["G"].state, G.state_dict())
    same(found["G_ema"].state, G.module.state_dict())
    assert next(iter(found["G"].state)).startswith("module.")
    assert found["models.1.E"].state["weight"].tolist() == D.weight.tolist()


def plain(tensor):
    """float8 and the large unsigned dtypes cannot be compared."""
    return tensor if tensor.dtype.is_complex else tensor.float()


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_of_every_plain_dtype_and_shape(tmp_path, kind):
    names = (
        "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128 uint16 uint32 uint64"
    )
    square = torch.arange(12.0).reshape(3, 4)
    content = {
        **{name: torch.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(torch, name)) for name in names.split()},
        "float8": torch.tensor([0.5, 2.0]).to(torch.float8_e4m3fn),
        "transposed": square.T,
        "part": square[1:, 2:],
        "expanded": torch.tensor([7.0]).expand(5),
        "channels_last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "empty": torch.empty(0, 3),
        "number": torch.tensor(3.5),
        "parameter": nn.Parameter(torch.ones(2)),
        "again": square,
    }
    found = read(save(content, tmp_path / "file", kind))
    assert list(found) == list(content)
    for name, tensor in content.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert found[name].stride() == tensor.stride()
        assert torch.equal(plain(found[name]), plain(tensor.detach())), name
        if tensor.numel():
            assert not found[name].untyped_storage().resizable()
    if kind in ("zip", "old"):  # a bare pickle has a copy of the storage for each tensor
        assert found["again"].untyped_storage().data_ptr() == found["part"].untyped_storage().data_ptr()


@pytest.mark.parametrize("kind", KINDS)
def test_plain_values_and_known_containers(tmp_path, kind):
    shared = [1, -2, 2**70, -(2**70), 0, 255, 256, 70000, -70000]
    content = {
        "numbers": [*shared, 1.5, float("inf"), True, False, None],
        "texts": ["", "ä", "x" * 300, b"\x00\xff", b"y" * 300, "\ud800"],
        ("a", 1): ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "ordered": collections.OrderedDict(a=1, b=[2]),
        "default": collections.defaultdict(list, a=[1]),
        "sets": [{1, 2}, frozenset((3,)), set()],
        "size": torch.Size([1, 2]),
        "numpy": [np.float64(0.5), np.float32(0.25), np.int64(-7), np.bool_(True)],
        "shared": [shared, shared],
    }
    found = read(save(content, tmp_path / "file", kind))
    assert found == content
    assert type(found["ordered"]) is type(found["default"]) is dict
    assert {type(number) for number in found["numpy"]} == {float, int, bool}
    assert found["shared"][0] is found["shared"][1]


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_numpy(tmp_path, kind):
    arrays = [
              np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
              np.array([1, 2], dtype=np.uint8), np.zeros((0, 2), np.float32), np.array(2.5), np.array([True]),
    ]  # fmt: skip
    content = {"arrays": arrays, "again": arrays[0], "objects": np.array([{"a": 1}, None], dtype=object)}
    found = read(save(content, tmp_path / "file", kind))
    for tensor, array in zip(found["arrays"], arrays, strict=True):
        assert torch.equal(tensor, torch.from_numpy(array))
    assert found["again"] is found["arrays"][0]
    assert type(found["objects"]) is Record


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_else_is_a_record(tmp_path, kind):
    sparse = torch.eye(3).to_sparse()
    content = [torch.device("cpu"), torch.float32, sparse, collections.deque([1, 2]), os.getcwd, range(3), 1j]
    found = read(save(content, tmp_path / "file", kind))
    assert all(type(value) is Record for value in found)
    assert (found[1].module, found[1].name, found[1].args) == ("torch", "float32", None)
    assert found[3].contents in ([1, 2], None)
    with pytest.raises(AttributeError):
        found[0].name = "other"
    assert not any(callable(value) for value in found)


@pytest.mark.filterwarnings("ignore")
def test_a_module_with_a_sparse_or_quantized_tensor_says_so(tmp_path):
    net = nn.Linear(2, 2)
    net.register_buffer("graph", torch.eye(2).to_sparse())
    with pytest.raises(UsageError, match="graph is not a plain tensor"):
        _ = networks(read(save(net, tmp_path / "file", "zip")))[""].state
    quantized = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    assert type(read(save(quantized, tmp_path / "file", "zip"))) is Record


def test_a_module_within_itself(tmp_path):
    net = nn.Module()
    net._modules["again"] = net
    found = networks(read(save(net, tmp_path / "file", "4")))
    with pytest.raises(UsageError, match="one within itself"):
        _ = found[""].state
    twice = nn.Identity()
    for _ in range(40):  # 2**40 paths
        twice = nn.ModuleDict({"a": twice, "b": twice})
    with pytest.raises(UsageError, match="more than"):
        _ = networks(read(save(twice, tmp_path / "file", "4")))[""].state
    loop: list = [net]
    loop.append({"loop": loop})
    assert list(networks(read(save(loop, tmp_path / "file", "4")))) == ["0"]
