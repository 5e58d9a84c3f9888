"""`fewgan export RUN --to FORMAT`: a generator for other programs, as ONNX, safetensors or another code's layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fewgan.plugin import Plugin, option

if TYPE_CHECKING:
    from fewgan.commands.export.command import Exported
    from fewgan.plugin import Screen


@dataclass(frozen=True, kw_only=True)
class Options:
    run: str | None = option(
        None, "A run, a generator.safetensors or a pretrained GAN. Default: the latest run.", argument=True
    )
    to: str = option(
        "onnx", "onnx, safetensors, or the layout of the architecture's public code, by its name or as foreign."
    )
    truncation: float | None = option(
        None, "ONNX: truncation of a generator that has one of its own, such as StyleGAN2's psi.", min=0
    )
    half: bool = option(False, "safetensors: weights as float16.")
    out: str | None = option(None, "Folder, or the .onnx file. Default: ./exports/NAME.onnx, or a folder there.")
    force: bool = option(False, "Replace files that exist.")


class Command:
    def run(self, options: Any, screen: Screen) -> Exported:
        from fewgan.commands.export.command import export

        return export(options, screen)


def build(options: Options) -> Command:
    return Command()


plugin = Plugin(
    api=1,
    summary="Export a generator: ONNX, safetensors, or the layout of public code.",
    options=Options,
    build=build,
)
