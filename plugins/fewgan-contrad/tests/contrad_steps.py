"""Three steps of D and G with ContraD in float64, in one process or in each of those that torchrun starts."""

import sys

import torch
from fewgan_contrad import Options, build
from safetensors.torch import save_file
from torch import nn

from fewgan import distributed
from fewgan.cli import launch
from fewgan.testing import tiny
from fewgan.testing.base import game
from fewgan.training.players import freeze
from fewgan.training.steps import Clock, discriminator_step, generator_step

BATCH, MICRO_BATCHES, STEPS = 8, 2, 3


def same_views(images):
    """Without draws, which differ between processes; the second view of a photo is another than the first."""
    if len(images) % 3:
        return images**2
    first, second, fake = images.chunk(3)
    return torch.cat((first**2, second.flip(3), fake**2))


class Whole(nn.Module):
    """No transfer."""

    conditional, mapper = True, None


def three_steps(classes=0):
    """State of networks and heads after the steps, and their losses."""
    torch.manual_seed(0)
    networks = tiny.build(tiny.Options(), size=tiny.SIZE, classes=classes)
    contrad = build(Options(hidden=16, projection=8, r1=0.1, r1_every=2), networks=networks)
    contrad.views = same_views
    team = game(Whole(), networks, regularizers={"contrad": contrad})
    for module in team.modules.values():
        module.double()
    team.random = torch.Generator().manual_seed(1)
    learning = {
        "discriminator": [*networks.discriminator.parameters(), *contrad.parameters()],
        "generator": list(networks.generator.parameters()),
    }
    # No Adam, which would hide a factor.
    optimizers = {side: torch.optim.SGD(parameters, lr=0.02) for side, parameters in learning.items()}
    losses = []
    for index in range(STEPS):
        freeze(None, learning["discriminator"])
        photos = torch.rand(
            MICRO_BATCHES, BATCH, 3, tiny.SIZE, tiny.SIZE, generator=torch.Generator().manual_seed(index)
        )
        labels = torch.arange(BATCH) % max(classes, 1)
        batches = [(distributed.shard(part.double() * 2 - 1), distributed.shard(labels)) for part in photos]
        clock = Clock(index, index * BATCH * MICRO_BATCHES)
        found = discriminator_step(team, optimizers["discriminator"], batches, clock)
        counts = [len(images) for images, _ in batches]
        found |= generator_step(team, optimizers["generator"], counts, clock)
        losses += [found["loss_d"], found["loss_g"], found["logit_real"], contrad.loss_real, contrad.loss_fake]
        losses = [loss.detach().clone() for loss in losses]
    states = {f"{m}.{name}": t for m, module in team.modules.items() for name, t in module.state_dict().items()}
    return {name: tensor.contiguous() for name, tensor in states.items()} | {"losses": torch.stack(losses)}


def main(arguments, speaks):
    torch.set_default_dtype(torch.float64)
    found = three_steps(int(arguments[2]))
    everyone = distributed.all_gather_object({name: tensor.sum().item() for name, tensor in found.items()})
    assert all(one == everyone[0] for one in everyone), "the processes differ"
    if distributed.rank() == 0:
        save_file(found, arguments[1])
    return 0


if __name__ == "__main__":
    sys.exit(launch.launch(main, ["train", *sys.argv[1:]]))
