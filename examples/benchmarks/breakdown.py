"""Where the time of a step of fewgan's real loop goes, by torch.profiler; `train.py --profile` prints it."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from cases import Case, Setting, Watching, config_of
from measure import table
from torch.profiler import ProfilerActivity, profile

from fewgan.training.loop import train

WARMUP, STEPS, TOP = 2, 3, 15

# The first group with a word in the operator's name has it.
GROUPS = {
    "convolution backward": ("convolution_backward", "convolution_transpose_backward"),
    "convolution forward": ("conv",),
    "batch norm": ("batch_norm",),
    "matrix products": ("mm", "bmm", "matmul", "addmv", "linear", "dot", "einsum"),
    "optimizer": ("adam", "Optimizer"),
    "average": ("lerp",),
    "softmax": ("softmax",),
    "pooling, resampling": ("pool", "upsample"),
    "sums, norms": ("sum", "norm", "mean"),
    "copies, layout": ("copy", "clone", "contiguous", "cat", "to_copy", "empty", "index", "gather"),
    "elementwise": ("add", "mul", "div", "relu", "threshold", "where", "tanh", "sub", "neg", "clamp", "fill", "zero"),
}


def group(operator: str) -> str:
    if operator.startswith("autograd::") or "Backward" in operator:
        return "autograd"
    return next((name for name, words in GROUPS.items() if any(word in operator for word in words)), "other")


def profiled(case: Case, setting: Setting, folder: Path) -> str:
    """Two Markdown tables: shares of the operators' own time by group, and the operators with most of it."""
    recorder: Any = profile(activities=[ProfilerActivity.CPU])
    done = 0

    def after_each() -> None:
        nonlocal done
        done += 1
        if done == WARMUP:
            recorder.start()
        elif done == WARMUP + STEPS:
            recorder.stop()

    screen = Watching(lambda: None, after_each)
    train(config_of(case, setting, folder, WARMUP + STEPS), screen)
    events = recorder.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    shares: dict[str, float] = defaultdict(float)
    for event in events:
        shares[group(event.key)] += event.self_cpu_time_total
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    head = ("ms a step", "share")
    groups = [[name, *_numbers(time, total)] for name, time in ordered]
    most = sorted(events, key=lambda event: -event.self_cpu_time_total)[:TOP]
    operators = [
        [f"`{event.key}`", *_numbers(event.self_cpu_time_total, total), f"{event.count / STEPS:.0f}"] for event in most
    ]
    return f"{table(('group', *head), groups)}\n\n{table(('operator', *head, 'calls a step'), operators)}"


def _numbers(microseconds: float, total: float) -> tuple[str, str]:
    return f"{microseconds / 1000 / STEPS:.1f}", f"{microseconds / total:.1%}"
