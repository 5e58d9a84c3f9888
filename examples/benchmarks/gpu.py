"""What a GPU gives: a training step by size and precision, sampling and scoring, each as a Markdown table.

    python examples/benchmarks/gpu.py steps        64, 128 and 256 px; fp32, TF32, bf16; with and without torch.compile
    python examples/benchmarks/gpu.py sampling     pictures a second of `Model.sample`
    python examples/benchmarks/gpu.py scoring      pictures a second of `--features random`
    python examples/benchmarks/gpu.py same A B     whether two runs have the same generator

One device alone: gpu.sh is the whole check. --device cpu --quick runs everything with tiny settings. A combination that
the device refuses (no memory, no compiler) has the reason in its row.
"""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import torch
from cases import CASES, Setting, Watching, config_of, write_photos, write_source
from measure import machine, spread, table
from safetensors.torch import load_file

import fewgan
from fewgan import registry
from fewgan.device import memory_format
from fewgan.scoring.extract import extract
from fewgan.screen import Screen
from fewgan.training import session
from fewgan.training.config import Config
from fewgan.training.loop import train

WARMUP = 3
CASE = CASES["all, stage 2"]


class Done(Exception):
    """Enough steps are counted."""


def wait(device: torch.device) -> None:
    """Until the device has done what it was given: only then does a time mean anything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def memory(device: torch.device) -> str:
    return f"{torch.cuda.max_memory_allocated(device) / 1e6:.0f}" if device.type == "cuda" else ""


def steps(options: argparse.Namespace, folder: Path) -> None:
    """Prints each row when it is there: what is compiled comes last, as far as there is time."""
    device, started = torch.device(options.device), time.monotonic()
    precisions = ("fp32", "tf32", "bf16") if device.type == "cuda" else ("fp32", "bf16")
    cases = [(size, precision, False) for size in options.sizes for precision in precisions]
    cases += [(size, precision, True) for precision in reversed(precisions) for size in options.sizes]
    base: dict[int, float] = {}
    head = ("size", "precision", "compiled", "ms a step", "times faster", "photos/s", "MB", "s to the first step")
    print(table(head, []), flush=True)
    for size, precision, compiled in cases:
        said = [str(size), precision, "yes" if compiled else "no"]
        setting = Setting(size, options.width, options.batch, 1, "bf16" if precision == "bf16" else "fp32")
        if compiled and time.monotonic() - started > options.seconds:
            said += ["left out: no time", "", "", "", ""]
        else:
            try:
                seconds, first = timed(
                    setting, folder, device, count=options.steps, compiled=compiled, tf32=precision == "tf32"
                )
            except Exception as error:  # no memory, no compiler
                lines = [line for line in str(error).splitlines() if line.strip()]
                said += [f"{type(error).__name__}: {lines[0][:80].replace('|', '/') if lines else ''}", "", "", "", ""]
            else:
                base.setdefault(size, median(seconds))
                times, photos = base[size] / median(seconds), options.batch / median(seconds)
                milliseconds = spread([1000 * value for value in seconds], 1)
                said += [milliseconds, f"{times:.2f}", f"{photos:.0f}", memory(device), f"{first:.1f}"]
        print("| " + " | ".join(said) + " |", flush=True)
        torch.compiler.reset()


def timed(
    setting: Setting, folder: Path, device: torch.device, *, count: int, compiled: bool, tf32: bool
) -> tuple[list[float], float]:
    """Seconds of each counted step of the real loop, and those until the first was done."""
    started, marks = time.perf_counter(), []

    def between() -> None:
        wait(device)
        marks.append(time.perf_counter())
        if len(marks) > WARMUP + count:
            raise Done

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    old = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    # fewgan sets neither, and torch's defaults are TF32 in convolutions and float32 in matrix products.
    torch.backends.cudnn.allow_tf32 = tf32
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    config = dataclasses.replace(config_of(CASE, setting, folder, steps=10**6), device=str(device))
    try:
        with compiling(compiled):
            train(config, Watching(lambda: None, between))
    except Done:
        pass
    finally:
        torch.set_float32_matmul_precision(old[0])
        torch.backends.cudnn.allow_tf32 = old[1]
    return [late - early for early, late in zip(marks[WARMUP:], marks[WARMUP + 1 :], strict=False)], marks[0] - started


@contextmanager
def compiling(wanted: bool) -> Iterator[None]:
    """While it is open, the networks of a new training are compiled."""
    begin = session.begin

    def compiled(config: Config, screen: Screen) -> session.Session:
        new = begin(config, screen)
        new.state.players.networks.generator.compile()
        new.state.players.networks.discriminator.compile()
        return new

    if wanted:
        session.begin = compiled
    try:
        yield
    finally:
        session.begin = begin


def rate(function: Callable[[], object], count: int, device: torch.device, rounds: int) -> str:
    """Pictures a second."""
    found = []
    for _ in range(2 + rounds):
        wait(device)
        started = time.perf_counter()
        function()
        wait(device)
        found.append(count / (time.perf_counter() - started))
    return spread(found[2:], 1)


def sampling(options: argparse.Namespace, folder: Path) -> None:
    device = torch.device(options.device)
    rows = []
    for size in options.sizes:
        setting = Setting(size, options.width)
        model = fewgan.load(write_source(folder, setting)).to(device)
        rows.append([str(size), rate(lambda m=model: m.sample(options.count), options.count, device, options.rounds)])
    print(table(("size", "pictures/s"), rows))


def scoring(options: argparse.Namespace, folder: Path) -> None:
    device = torch.device(options.device)
    plugin, settings = registry.choose("features", "random").plugin()
    features = plugin.build(settings).to(device=device, memory_format=memory_format(device)).eval()
    rows = []
    for size in options.sizes:
        images = torch.randint(0, 256, (options.count, 3, size, size), dtype=torch.uint8)

        def score(images: torch.Tensor = images) -> object:
            groups = lambda first, stop: iter([images[first:stop]])  # noqa: E731
            return extract(features, groups, len(images), device=device, label="scoring", screen=Screen(quiet=True))

        rows.append([str(size), rate(score, options.count, device, options.rounds)])
    print(table(("size", "pictures/s"), rows))


def same(one: Path, other: Path) -> str:
    """Of two runs: whether their generators are the same, bit by bit, or how far apart they are."""
    first, second = (load_file(run / "generator.safetensors") for run in (one, other))
    if first.keys() != second.keys():
        return "different tensors"
    if all(torch.equal(first[name], second[name]) for name in first):
        return "identical"
    return f"largest difference {max((first[name] - second[name]).abs().max().item() for name in first):.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("steps", "sampling", "scoring", "same"))
    parser.add_argument("runs", nargs="*", type=Path, help="of same: two run folders")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=180, help="after these, no further network is compiled")
    parser.add_argument("--quick", action="store_true", help="one small size, few steps and pictures")
    options = parser.parse_args()
    if options.what == "same":
        print(same(*options.runs))
        return
    options.sizes, options.width, options.batch, options.steps = [64, 128, 256], None, 16, 20
    options.count, options.rounds = 512, 5
    if options.quick:
        options.sizes, options.width, options.batch, options.steps = [32], 4, 4, 2
        options.count, options.rounds, options.seconds = 8, 1, min(options.seconds, 5)
    print(machine(torch=torch.__version__, device=name_of(options.device), batch=options.batch), end="\n\n", flush=True)
    with tempfile.TemporaryDirectory() as place:
        if options.what == "steps":
            write_photos(Path(place), max(options.sizes))
        {"steps": steps, "sampling": sampling, "scoring": scoring}[options.what](options, Path(place))


def name_of(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


if __name__ == "__main__":
    main()
