"""The model card: README.md, whose front matter the Hub reads, and a sheet of samples. Photos have no place in it."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewgan.plugin import UsageError

SAMPLES = "samples.png"
# Licences that the Hub knows by these names; others are "other", with a name of their own.
LICENCES = (
    "apache-2.0", "mit", "openrail", "creativeml-openrail-m", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-2.0",
    "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0",
    "cc-by-nd-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "gpl-2.0", "gpl-3.0", "lgpl-3.0",
    "agpl-3.0", "mpl-2.0", "unlicense", "wtfpl", "isc", "zlib",
)  # fmt: skip
KINDS = ("architecture", "transfer", "augmentation", "regularizers")


def licence(config: Mapping[str, Any], given: str | None) -> str:
    """The licence to publish under: as given, else that of all weights that the generator descends from.

    Raises UsageError where it is not known, or where there are several.
    """
    if given is not None and given.strip():
        return " ".join(given.split())
    found = sorted({one["licence"] for one in config["licences"]})
    if len(found) == 1:
        return str(found[0])
    why = f"its sources have several ({'; '.join(found)})" if found else "no source states one"
    raise UsageError(
        f"the licence of this generator is not known, {why}; give it with --licence, such as --licence MIT"
    )


def known(text: str) -> str | None:
    """The Hub's name of a licence, None where it has none: `MIT (code and weights of …)` is mit."""
    name = re.split(r"[\s(,;]", text.strip(), maxsplit=1)[0].lower()
    return name if name in LICENCES else None


def front_matter(config: Mapping[str, Any], stated: str) -> str:
    """Between two lines of ---; values are written as JSON, which YAML includes."""
    tags = ["gan", "few-shot", *names(config)]
    fields: dict[str, Any] = {"license": known(stated) or "other"}
    if known(stated) is None:
        fields["license_name"] = re.sub(r"[^a-z0-9.]+", "-", stated.lower()).strip("-")[:60] or "other"
    fields |= {
        "library_name": "fewgan",
        "pipeline_tag": "unconditional-image-generation",
        "tags": list(dict.fromkeys(tags)),
    }
    return "\n".join(["---", *(f"{name}: {json.dumps(value)}" for name, value in fields.items()), "---"])


def names(config: Mapping[str, Any]) -> list[str]:
    """Of the plugins, without the transfer that is none."""
    found = []
    for kind in KINDS:
        choices = config.get(kind) or []
        found += [choice["name"] for choice in (choices if isinstance(choices, list | tuple) else [choices])]
    return [name for name in found if name != "none"]


def text(model: Any, stated: str, *, title: str, where: str, truncation: float | None) -> str:
    """README.md of a model. stated: its licence. where: hf:owner/name, as commands name it."""
    config = model.config
    photos, side = config.get("photos"), config["size"]
    trained = (
        f"on {photos:,} photos" if isinstance(photos, int) else "on a number of photos that its file does not tell"
    )
    classes = [str(name) for name in model.classes]
    at = "" if truncation is None else f", at truncation {truncation:g}"
    lines = [
        front_matter(config, stated),
        "",
        f"# {plain(title)}",
        "",
        f"A generator of {side} px pictures, trained with fewgan {trained}. The photos are not part of it.",
        "",
        f"![Samples]({SAMPLES})",
        "",
        f"Samples of the generator, not chosen by hand{at}.",
        "",
        "## Use",
        "",
        "```",
        f"fewgan sample {where}",
        f"fewgan train DATASET --transfer finetune --source {where}",
        "```",
        "",
        "```python",
        "import fewgan",
        "",
        f'pictures = fewgan.load("{where}").sample(16)  # uint8 [16, 3, {side}, {side}]',
        "```",
        "",
        "## Training",
        "",
    ]
    lines += [f"- {name}: {plain(value)}" for name, value in _training(config, model).items()]
    if classes:
        counts = model.class_counts if len(model.class_counts) == len(classes) else ()
        each = [
            f"{plain(name)} ({counts[index]:,} photos)" if counts else plain(name) for index, name in enumerate(classes)
        ]
        lines += [f"- classes: {', '.join(each[:50])}{', …' if len(each) > 50 else ''}"]
    lines += _scores(model.path, config.get("step"))
    lines += ["", "## Licence", "", f"{plain(stated)}.", ""]
    lines += [f"- It descends from {plain(one['source'])}: {plain(one['licence'])}." for one in config["licences"]]
    return "\n".join(lines).rstrip() + "\n"


def plain(content: Any) -> str:
    """Text from names and files, which is shown and never read as Markdown or HTML."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in str(content)).split())
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", html.escape(line, quote=False))


def _training(config: Mapping[str, Any], model: Any) -> dict[str, Any]:
    million = sum(parameter.numel() for parameter in model.generator.parameters()) / 1e6
    found = {"architecture": f"{config['architecture']['name']}, {million:.1f} million parameters in the generator"}
    for kind in KINDS[1:]:
        if chosen := names({kind: config.get(kind)}):
            found[kind] = ", ".join(chosen)
    steps = config.get("step", config["steps"])  # what it was trained for, and not what was planned
    return found | {"steps": f"{steps:,} of {config['batch_size']} photos", "seed": str(config["seed"])}


def _scores(place: Path, step: int | None) -> list[str]:
    """A table of the newest scores by `fewgan fid` of the generator of that step against the photos of the run."""
    kept = (path for path in (place / "fid").glob("*-*/scores.json") if path.is_file())
    newest = sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True)
    tables = (_table(path, step) for path in (place / "fid" / "scores.json", *newest))
    return next(filter(None, tables), [])


def _table(path: Path, step: int | None) -> list[str]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not facts.get("own_photos", "-against-" not in str(facts.get("settings"))):
            return []
        name = f"{facts['score_name']}"
        rows = [
            [plain(row["against"]), "" if row["truncation"] is None else f"{row['truncation']:g}",
             *(_number(row[key]) for key in ("frechet_distance", "kid", "precision", "recall")), f"{row['count']:,}"]
            for row in facts["rows"]
            if row.get("step") in (None, step)
        ]  # fmt: skip
        note = f"Features: {plain(facts['features'])}. Lower is better for {plain(name)} and KID."
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    if not rows:
        return []
    head = ["against", "truncation", plain(name), "KID", "precision", "recall", "pictures"]
    table = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return ["", "## Scores", "", *table, "", note]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) and math.isfinite(value) else ""
