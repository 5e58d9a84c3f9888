"""Device names, on machines with and without GPUs."""

import socket
import types

import pytest
import torch

from fewgan import device, distributed
from fewgan.device import resolve
from fewgan.plugin import UsageError
from fewgan.screen import Screen
from fewgan.training import settle


@pytest.fixture
def machine(monkeypatch):
    """Sets how many GPUs torch sees, and whether it sees Apple's."""

    def make(gpus: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return make


@pytest.mark.parametrize(
    ("gpus", "mps", "name", "device"),
    [
        (0, False, "auto", "cpu"),
        (0, True, "auto", "cpu"),
        (2, True, "auto", "cuda"),
        (2, False, "CPU", "cpu"),
        (2, False, " cuda", "cuda"),
        (2, False, "cuda:1", "cuda:1"),
        (0, True, "mps", "mps"),
    ],
)
def test_devices_that_are_there(machine, gpus, mps, name, device):
    machine(gpus, mps)
    assert resolve(name) == torch.device(device)


@pytest.mark.parametrize(
    ("gpus", "name", "message"),
    [
        (0, "gpu", "--device gpu: give auto, cpu, cuda, cuda:N or mps; here: cpu$"),
        (0, "", "--device : give auto"),
        (0, "cuda:-1", "give auto"),
        (0, "cuda", "--device cuda: .*; here: cpu$"),
        (2, "cuda:2", "--device cuda:2: .*; here: cpu, cuda:0, cuda:1$"),
        (0, "mps", "--device mps: not on this machine; here: cpu$"),
    ],
)
def test_devices_that_are_not(machine, gpus, name, message):
    machine(gpus)
    with pytest.raises(UsageError, match=message):
        resolve(name)


def test_this_machine():
    assert torch.zeros(2, device=resolve("auto")).sum() == 0


@pytest.mark.parametrize(
    ("machine_name", "capability", "name", "slow"),
    [
        ("x86_64", "AVX2", "cpu", True),
        ("AMD64", "DEFAULT", "cpu", True),
        ("x86_64", "AVX512", "cpu", False),
        ("arm64", "DEFAULT", "cpu", False),
        ("x86_64", "AVX2", "cuda", False),
    ],
)
def test_where_bfloat16_is_slow(monkeypatch, machine_name, capability, name, slow):
    monkeypatch.setattr(device.platform, "machine", lambda: machine_name)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert device.slow_in_bfloat16(torch.device(name)) is slow


@pytest.mark.parametrize(("capability", "fast"), [("AVX512", True), ("AVX2", False)])
def test_a_cpu_held_to_older_instructions_is_not_fast_in_bfloat16(monkeypatch, capability, fast):
    monkeypatch.setattr(device.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)  # ATEN_CPU_CAPABILITY=avx2
    assert device.fast_in_bfloat16(torch.device("cpu")) is fast


def test_it_is_said_where_bfloat16_is_slow(monkeypatch, capsys):
    monkeypatch.setattr(device, "slow_in_bfloat16", lambda _: True)
    for precision in ("fp32", "bf16"):
        settle.precision(types.SimpleNamespace(precision=precision), torch.device("cpu"), Screen())
        assert ("use --precision fp32" in capsys.readouterr().err) == (precision == "bf16")


@pytest.mark.parametrize(("fast", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_precision_auto_takes_bfloat16_where_it_is_known_to_be_faster(monkeypatch, capsys, fast, chosen):
    monkeypatch.setattr(device, "fast_in_bfloat16", lambda _: fast)
    asked = types.SimpleNamespace(precision="auto")
    assert settle.precision(asked, torch.device("cpu"), Screen()) == chosen
    assert ("Precision: bf16" in capsys.readouterr().err) == fast


def test_freed_memory_is_kept_where_the_c_library_can(monkeypatch):
    asked = []
    device._keep_freed_memory.cache_clear()
    library = types.SimpleNamespace(mallopt=lambda name, value: asked.append((name, value)))
    monkeypatch.setattr(device.ctypes, "CDLL", lambda _: library)
    monkeypatch.setattr(device.sys, "platform", "linux")
    resolve("cpu")
    resolve("cpu")
    assert asked == [(-1, -1), (-4, 0)]  # once


def test_another_c_library_is_no_reason_to_fail(monkeypatch):
    device._keep_freed_memory.cache_clear()
    monkeypatch.setattr(device.ctypes, "CDLL", lambda _: types.SimpleNamespace())
    assert resolve("cpu").type == "cpu"
    device._keep_freed_memory.cache_clear()


def test_each_device_has_the_layout_that_is_right_there():
    """Batch norm's backward is wrong in channels_last on MPS."""
    assert device.memory_format(torch.device("mps")) == torch.contiguous_format
    assert device.memory_format(torch.device("cpu")) == torch.channels_last
    assert device.memory_format(torch.device("cuda")) == torch.channels_last


@pytest.fixture
def two_machines(machine, monkeypatch):
    """Rank 2 of 4, two a machine of 4 GPUs each: what torch is called with, and what the other ranks answer."""
    machine(gpus=4)
    called, others = {"set_device": []}, []
    for name, value in {"LOCAL_RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "set_device", called["set_device"].append)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda gpu: types.SimpleNamespace(uuid=f"uuid {gpu}"))
    monkeypatch.setattr(distributed, "rendezvous", lambda *_, **__: iter([(None, 0, 4)]))
    monkeypatch.setattr(distributed, "world_size", lambda: 4)
    monkeypatch.setattr(distributed, "all_gather_object", lambda mine: [*others, mine])
    monkeypatch.setattr(
        distributed.dist, "init_process_group", lambda *backend, **given: called.update(given, backend=backend)
    )
    return called, others


def test_a_rank_has_one_context_on_its_own_gpu(two_machines, monkeypatch):
    """Without set_device, every rank makes a context on GPU 0; with device_id, a rank of the CPU would make one."""
    called, others = two_machines
    distributed.init()
    assert called["backend"] == ("cpu:gloo,cuda:nccl",)
    assert "device_id" not in called
    distributed.bind(resolve("cpu"))
    assert called["set_device"] == []
    monkeypatch.setenv("LOCAL_RANK", "2")
    others += [("another machine", "uuid cuda:2"), (socket.gethostname(), "uuid cuda:1"), None]
    distributed.bind(resolve("auto"))
    assert called["set_device"] == [torch.device("cuda:2")]


def test_processes_that_would_share_a_gpu_are_refused(two_machines):
    _, others = two_machines
    others.append((socket.gethostname(), "uuid cuda:0"))
    with pytest.raises(UsageError, match="--device cuda:0: 2 processes would share a GPU; leave --device out"):
        distributed.bind(torch.device("cuda:0"))
