"""The command: which format is asked for, where its files go, and what is told of them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fewgan
from fewgan.plugin import UsageError

if TYPE_CHECKING:
    from fewgan.commands.export import Options
    from fewgan.plugin import Screen

ONNX, SAFETENSORS, FOREIGN = "onnx", "safetensors", "foreign"
DISCRIMINATOR = "discriminator.safetensors"  # its name in what Model.save writes


@dataclass(frozen=True)
class Exported:
    """What was written into `folder`. facts: of an ONNX file, as it carries them; {} for other formats."""

    folder: Path
    files: list[str]
    to: str
    model: str
    facts: dict[str, Any]

    def text(self) -> str:
        lines = [str(self.folder / name) for name in self.files]
        if self.facts:
            labels = "" if not self.facts["classes"] else f", labels int64 [batch] of {self.facts['classes']} classes"
            side = self.facts["size"]
            lines += [
                f"opset {self.facts['opset']}: z float32 [batch, {self.facts['latent_dim']}]{labels} -> "
                f"images float32 [batch, 3, {side}, {side}], -1 to 1 when clamped",
                f"largest difference from fewgan's own images, over 8 latents: {self.facts['largest_difference']:.2g}",
            ]
        return "\n".join(lines)


def export(options: Options, screen: Screen) -> Exported:
    """Writes the files. Raises UsageError for a format that the architecture lacks, and for files that exist."""
    model = fewgan.load(options.run, screen)
    plugin, _ = model.architecture.plugin()
    foreign = [name for name in (plugin.layout, FOREIGN) if name is not None and plugin.write is not None]
    known = [ONNX, SAFETENSORS, *foreign]
    if options.to not in known:
        raise UsageError(f"--to {options.to}: {model.architecture.name} exports to {', '.join(known)}")
    for flag, given, format in (
        ("--truncation", options.truncation is not None, ONNX),
        ("--half", options.half, SAFETENSORS),
    ):
        if given and options.to != format:
            raise UsageError(f"{flag}: goes with --to {format} alone")
    if options.to == ONNX:
        return _onnx(model, options, screen)
    if options.to == SAFETENSORS and "network_classes" not in model.config:
        raise UsageError(f"{model.path}: --to safetensors is for what fewgan trained; other files stay as they are")
    folder = Path(options.out) if options.out is not None else Path("exports") / f"{model.name}-{options.to}"
    if folder.is_file():
        raise UsageError(f"--out {folder}: is a file; give a folder")
    if any((folder / name).exists() for name in ("checkpoints", "metrics.jsonl", "real.png")):
        raise UsageError(f"--out {folder}: is a run, whose generator would be replaced; give another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place first, because the names of the files are the architecture's to say.
    with tempfile.TemporaryDirectory(prefix=".fewgan-", dir=folder.parent) as temporary:
        if options.to == SAFETENSORS:
            model.save(temporary, half=options.half)
        else:
            model.export(temporary)
        made = sorted(Path(temporary).iterdir())
        # Without a discriminator of its own, one beside it would be another generator's.
        alone = options.to == SAFETENSORS and DISCRIMINATOR not in [file.name for file in made]
        refuse(options, *(folder / file.name for file in made), *([folder / DISCRIMINATOR] if alone else []))
        folder.mkdir(exist_ok=True)
        for file in made:
            file.replace(folder / file.name)
        if alone:
            (folder / DISCRIMINATOR).unlink(missing_ok=True)
    return Exported(folder, [file.name for file in made], options.to, model.name, {})


def _onnx(model: Any, options: Options, screen: Screen) -> Exported:
    from fewgan.commands.export import onnx

    out = Path(options.out) if options.out is not None else Path("exports")
    path = out if out.suffix.lower() == ".onnx" and not out.is_dir() else out / f"{model.name}.onnx"
    refuse(options, path)
    for place in path.parents:
        if place.is_file():
            raise UsageError(f"--out {place}: is a file; give a folder, or a name that ends in .onnx")
    facts = onnx.write(model, path, truncation=options.truncation, screen=screen)
    return Exported(path.parent, [path.name], ONNX, model.name, facts)


def refuse(options: Options, *paths: Path) -> None:
    """Raises UsageError for a file that is there already."""
    there = [path for path in paths if path.exists()]
    if there and not options.force:
        raise UsageError(f"{there[0]}: exists; give another place with --out, or --force to replace it")
