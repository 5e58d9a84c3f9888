"""`fewgan push RUN owner/name`: a run's networks and a model card as a repository of the Hugging Face Hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fewgan.plugin import Plugin, option

if TYPE_CHECKING:
    from fewgan.commands.push.command import Pushed
    from fewgan.plugin import Screen


@dataclass(frozen=True, kw_only=True)
class Options:
    run: str | None = option(
        None, "A run, or a folder with its generator.safetensors. Default: the latest run.", argument=True
    )
    repository: str | None = option(None, "The repository, owner/name; not needed with --folder.", argument=True)
    folder: str | None = option(None, "Write the files to this folder, and nothing to the network.")
    licence: str | None = option(None, "Licence of the generator, such as MIT or CC-BY-4.0. Default: its source's.")
    private: bool = option(False, "Make a new repository private.")
    half: bool = option(False, "Weights as float16.")
    samples: int = option(16, "Pictures on the model card.", min=1, max=64)
    truncation: float | None = option(None, "Truncation of these pictures.", min=0)
    seed: int = option(0, "Random seed of these pictures.", min=0, max=2**63 - 1)
    message: str = option("Upload with fewgan", "Message of the commit.")


class Command:
    def run(self, options: Any, screen: Screen) -> Pushed:
        from fewgan.commands.push.command import push

        return push(options, screen)


def build(options: Options) -> Command:
    return Command()


plugin = Plugin(
    api=1, summary="Publish a run on the Hugging Face Hub, with a model card.", options=Options, build=build
)
