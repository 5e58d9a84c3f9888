"""What a page says of a run: the command it was started with, what to do next, what a sign means, names of values."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fewgan.commands.report.files import number

CHOOSERS = {"architecture": "--arch", "transfer": "--transfer", "augmentation": "--aug", "features": "--features"}
USUAL = {"architecture": "biggan", "transfer": "none", "features": "inception"}
FLAGS: dict[str, Any] = {
    "out": "runs", "source": None, "size": None, "steps": 2000, "batch_size": 16, "d_steps": None,
    "grad_accumulation": 1, "lr_g": None, "lr_d": None, "loss": None, "orthogonal": 0.0, "precision": "auto",
    "sample_every": 200, "save_every": 200, "score_every": None, "patience": None, "seed": 0, "device": "auto",
}  # fmt: skip
"""The options of `fewgan train` that config.json records, and their defaults."""

SIGNS = {
    "discriminator-lost": "D hardly separates photos from samples. If samples stop improving: lower --lr-g, raise "
    "--d-steps, or weaken the augmentation or the regularizers.",
    "discriminator-too-strong": "D separates photos from samples almost perfectly, which leaves G little to learn "
    "from: add an augmentation or a regularizer, or lower --lr-d.",
    "samples-alike": "The samples are nearly identical: use an earlier generator, lower --lr-g, or use more photos.",
    "discriminator-overfits": "D judges held-out photos like samples: it knows the photos by heart. Add or strengthen "
    "an augmentation (--aug) or a regularizer; --score-every keeps the best generator.",
    "augmentation-leaks": "The samples show what the augmentation does to photos: weaken it with its options, or "
    "leave out --aug.",
    "updates-skipped": "Many updates were skipped because the loss or a gradient was NaN or infinite: lower --lr-g "
    "and --lr-d, or use --precision fp32.",
}


def command(*words: str) -> str:
    """A command line, quoted for the shell. What no shell would show as itself is written as $'…' of bash and zsh."""
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    escaped = "".join(
        letter
        if letter.isascii() and letter.isprintable() and letter not in "\\'"
        else "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))
        for letter in word
    )
    return f"$'{escaped}'"


def path_word(path: Path | str) -> str:
    """A path as an argument that is no option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def training(config: dict[str, Any]) -> str:
    """The `fewgan train` that starts such a run again, from what config.json says was asked for."""
    asked = config.get("asked")
    asked = asked if isinstance(asked, dict) else config
    if "steps" in asked and "steps" in config:
        asked = {**asked, "steps": config["steps"]}  # more than were asked for, after a longer resume
    words = ["fewgan", "train"]
    if isinstance(asked.get("data"), str) and asked["data"] != "dataset":
        words.append(path_word(asked["data"]))
    options: list[str] = []
    for key, choice in choices(asked):
        name = choice["name"]
        if key == "regularizers":
            words.append(f"--{name}")
        elif key == "trackers":
            words += ["--track", name]
        elif name != USUAL.get(key):
            words += [CHOOSERS[key], name]
        options += _options(choice)
    off = asked.get("no_regularizers")
    words += [f"--no-{name}" for name in off if isinstance(name, str)] if isinstance(off, list) else []
    for name, default in FLAGS.items():
        value = asked.get(name)
        if value is not None and value != default and isinstance(value, int | float | str):
            words += [_flag(name), _value(value)]
    words += ["--no-flip"] if asked.get("flip") is False else []
    words += ["--keep-generators"] if asked.get("keep_generators") is True else []
    return command(*words, *options)


def choices(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(key of config.json, plugin as it was chosen), in the order of the command line."""
    for key in ("architecture", "transfer", "augmentation", "regularizers", "features", "trackers"):
        value = config.get(key)
        for one in value[:50] if isinstance(value, list) else [value]:
            if isinstance(one, dict) and isinstance(one.get("name"), str):
                yield key, one


def _options(choice: dict[str, Any]) -> list[str]:
    """The flags of a plugin's options that differ from their defaults, where the plugin is installed to say so."""
    given = choice.get("options")
    known = _defaults(str(choice.get("kind")), choice["name"])
    words = []
    for name, value in given.items() if isinstance(given, dict) else ():
        if value is None or (known is not None and (name not in known or known[name] == value)):
            continue
        if isinstance(value, bool):
            words.append(_flag(f"{'' if value else 'no-'}{choice['name']}-{name}"))
        elif isinstance(value, int | float | str):
            words += [_flag(f"{choice['name']}-{name}"), _value(value)]
    return words


def _defaults(kind: str, name: str) -> dict[str, Any] | None:
    """Defaults of an installed plugin's options that have a flag; None where it is not installed or does not load."""
    if not kind.isidentifier():
        return None
    try:
        for entry in importlib.metadata.entry_points(group=f"fewgan.{kind}", name=name):
            fields = dataclasses.fields(entry.load().options)
            return {one.name: one.default for one in fields if not one.metadata.get("hidden")}
    except Exception:
        return None
    return None


def _flag(name: str) -> str:
    return "--" + name.rstrip("_").replace("_", "-")


def _value(value: float | str) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def next_steps(run: Path, config: dict[str, Any], step: int, has: set[str], *, other: bool) -> list[tuple[str, str]]:
    """(what for, command) in the order of use.

    has: what lies in the run: generator (the last, or the best, which commands take before it), generators, snapshots,
    scores, sweep; exhausted where --patience ended it. other: whether the page already compares two runs.
    """
    word, steps = path_word(run), number(config.get("steps"))
    found: list[tuple[str, tuple[str, ...]]] = []
    if isinstance(steps, int) and step < steps:
        patience = number(config.get("patience")) if "exhausted" in has else None
        more = () if patience is None else ("--patience", str(2 * patience))
        found.append((f"Resume the training at step {step:,} of {steps:,}", ("train", "--resume", word, *more)))
    truncates = config.get("truncates") is not False
    if "generator" in has:
        found.append(("Draw pictures", ("sample", word, *(("--truncation", "0.5") if truncates else ()))))
        found.append(("Make a looping animation", ("sample", word, "--interpolate")))
    if "generators" in has and "snapshots" not in has:
        found.append(("Find the step with the best score", ("fid", word, "--snapshots")))
    if "generator" in has and "sweep" not in has and truncates:
        found.append(("Choose a truncation", ("fid", word, "--truncation", "0.2,0.4,0.6,0.8,1.0")))
    if "generator" in has and "scores" not in has:
        found.append(("Measure how close the samples come to the photos", ("fid", word)))
    if isinstance(steps, int) and step >= steps > 0:
        found.append(("Train for longer", ("train", "--resume", word, "--steps", str(2 * steps))))
    if not other:
        found.append(("Compare it with another run", ("report", word, "--with", "RUN")))
    return [(what, command("fewgan", *words)) for what, words in found]


def duration(seconds: float) -> str:
    whole = max(0, round(min(seconds, 1e9)))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
