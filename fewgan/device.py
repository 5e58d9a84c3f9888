"""The device that a command computes on."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from functools import cache

import torch

from fewgan.errors import UsageError


def resolve(name: str) -> torch.device:
    """auto, cpu, cuda, cuda:N or mps, as a device that is there. auto: the first CUDA GPU, else the CPU; mps, on
    which nobody has run the tests, only where it is asked for.

    Raises UsageError for another name and for a device that this machine, or this build of torch, lacks.
    """
    found = _find(name)
    if found.type == "cpu":
        _keep_freed_memory()
    return found


@cache
def _keep_freed_memory() -> None:
    """Has glibc keep the large blocks that torch frees and asks for again in every step, and torch use huge pages.

    By default glibc returns them to the system, and each new one costs a page fault every 4 KiB: 7 % of a training step
    at 64 px, 40 % at 128 px. The price is memory lost between blocks: nothing at 64 px, up to a third at 128 px
    (examples/benchmarks/RESULTS.md).
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    no_trimming, maximum_of_maps = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of malloc.h
    mallopt(no_trimming, -1)
    mallopt(maximum_of_maps, 0)


def memory_format(device: torch.device) -> torch.memory_format:
    """The layout in which convolutions run fastest: channels_last on CPUs and GPUs.

    Not on MPS, where the backward of batch norm is wrong for it in current releases of torch.
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def fast_in_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster there than float32: GPUs from sm80 on, CPUs with AVX512-BF16 or AMX that torch may
    use (with ATEN_CPU_CAPABILITY=avx2 it may not)."""
    if device.type == "cuda":
        return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or platform.machine().lower() not in ("x86_64", "amd64") or slow_in_bfloat16(device):
        return False
    known = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(function() for function in known if function is not None)


def slow_in_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is far slower there than float32: a CPU on which oneDNN has no convolutions of that type.

    A training step on an AVX2 machine took 2.9 s in float32 and 36 s in bfloat16.
    """
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return device.type == "cpu" and x86 and not torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def _find(name: str) -> torch.device:
    name = name.strip().lower()
    if name in ("auto", "cuda") and torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"  # torchrun's processes take a GPU each
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu" or (name == "mps" and _mps()):
        return torch.device(name)
    if name == "mps":
        raise UsageError(f"--device mps: not on this machine; {_there()}")
    match = re.fullmatch(r"cuda(?::(\d{1,3}))?", name)
    if not match:
        raise UsageError(f"--device {name}: give auto, cpu, cuda, cuda:N or mps; {_there()}")
    if int(match[1] or 0) >= torch.cuda.device_count() or not torch.cuda.is_available():
        raise UsageError(f"--device {name}: {_missing()}; {_there()}")
    return torch.device(name)


def _mps() -> bool:
    return torch.backends.mps.is_available()


def _missing() -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch is built for the CPU alone"
    return "no such GPU here" if torch.cuda.is_available() else "torch finds no GPU here (driver missing or too old?)"


def _there() -> str:
    names = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count())), *(["mps"] if _mps() else [])]
    return f"here: {', '.join(names)}"
