"""The core's steps with these plugins: a clean loop of WGAN-GP, written out beside it, gives the same weights."""

import copy

import pytest
import torch
from fewgan_transgan.architecture import ADAM, Options, build
from fewgan_transgan.losses import GradientPenalty
from transgan_small import PLAIN, SIZE

from fewgan.networks import Adam, Defaults, Networks
from fewgan.registry import choose, default
from fewgan.training.average import Average
from fewgan.training.players import Players
from fewgan.training.steps import Clock, discriminator_step, generator_step


def trained(generator, discriminator, numbers, settings):
    """Five D steps, and a G step after every second from the first one on, by the core: G, D and the average."""
    every, batch = settings["n_critic"], settings["batch_D"]
    adam = Adam(
        learning_rate=settings["lr"],
        betas=(float(settings["betas"][0]), settings["betas"][1]),
        epsilon=settings["eps"],
        gradient_clip=settings["clip"],
    )
    defaults = Defaults(
        loss="wasserstein",
        generator=adam,
        discriminator=adam,
        ema_images=every * settings["ema_images"] * 32 // batch,
        ema_ramp=every * settings["ema_warmup"],
        ema_buffers="copy",
    )
    for name, parameter in discriminator.named_parameters():
        parameter.requires_grad_("noise" not in name)
    none, options = choose("transfers", default("transfers") or "").plugin()
    networks = Networks(generator, discriminator, defaults)
    penalty = Shared(weight=10, phi=1, epsilon=0.001)
    players = Players(
        networks=networks,
        transfer=none.build(options, networks=networks),
        augmentation=None,
        regularizers={"gradient-penalty": penalty},
        loss=defaults.loss,
    )
    optimizers = {
        side: torch.optim.Adam(
            [p for p in module.parameters() if p.requires_grad], settings["lr"], adam.betas, adam.epsilon
        )
        for side, module in (("G", generator), ("D", discriminator))
    }
    average = Average(players)
    latents = iter(())
    players.draw = lambda count: (next(latents), torch.zeros(count, dtype=torch.int64))
    for step in range(settings["steps"]):
        latents, penalty.share = iter([numbers["z_D"][step].double()]), numbers["alpha"][step].double()
        real = numbers["real"][step].double()
        labels = torch.zeros(len(real), dtype=torch.int64)
        discriminator_step(players, optimizers["D"], [(real, labels)], Clock())
        if step % every == 0:
            latents = iter([numbers["z_G"][step // every].double()])
            generator_step(players, optimizers["G"], [settings["batch_G"]], Clock())
            # As the published loop counts: D steps before this one.
            average.update(players, batch * step, every * batch, batch)
    return {"G": generator, "D": discriminator, "ema": average.generator}


class Shared(GradientPenalty):
    """With given shares in place of drawn ones."""

    def discriminator_loss(self, step):
        drawn, torch.rand = torch.rand, lambda *_, **__: self.share
        try:
            return super().discriminator_loss(step)
        finally:
            torch.rand = drawn


def by_hand(generator, discriminator, numbers, settings):
    """The same, written out."""
    learning = [p for name, p in discriminator.named_parameters() if "noise" not in name]
    other = {"lr": settings["lr"], "betas": (0.0, settings["betas"][1]), "eps": settings["eps"]}
    of_g, of_d = torch.optim.Adam(generator.parameters(), **other), torch.optim.Adam(learning, **other)
    average = copy.deepcopy(generator)
    for step in range(settings["steps"]):
        z, real, alpha = (numbers[name][step].double() for name in ("z_D", "real", "alpha"))
        fake = generator(z, z[:, :0]).detach()
        between = (alpha * real + (1 - alpha) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(between).sum(), between, create_graph=True)
        penalty = (slope.square().sum((1, 2, 3)).sqrt() - 1).square().mean()
        mean = discriminator(real).mean()
        loss = discriminator(fake).mean() - mean + 10 * penalty + 0.001 * mean**2
        of_d.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, settings["clip"])
        of_d.step()
        if step % settings["n_critic"]:
            continue
        z = numbers["z_G"][step // settings["n_critic"]].double()
        of_g.zero_grad()
        (-discriminator(generator(z, z[:, :0])).mean()).backward()
        torch.nn.utils.clip_grad_norm_(generator.parameters(), settings["clip"])
        of_g.step()
        images = min(settings["ema_images"], settings["ema_warmup"] * settings["batch_D"] * step)
        decay = 0.5 ** (settings["batch_D"] / max(images, 1e-8))
        with torch.no_grad():
            for ours, theirs in zip(average.parameters(), generator.parameters(), strict=True):
                ours.mul_(decay).add_(theirs, alpha=1 - decay)
    return {"G": generator, "D": discriminator, "ema": average}


def test_the_core_trains_as_the_clean_loop():
    torch.manual_seed(0)
    made = build(Options(**PLAIN), size=SIZE, classes=0).with_discriminator()
    networks = made.generator.double(), made.discriminator.double()
    settings = {"lr": 1e-3, "betas": [0, 0.99], "eps": 1e-8, "steps": 5, "n_critic": 2, "clip": 5}
    settings |= {"ema_images": 500_000, "ema_warmup": 0.1, "batch_D": 2, "batch_G": 4}
    numbers = {"real": torch.rand(5, 2, 3, SIZE, SIZE) * 2 - 1, "alpha": torch.rand(5, 2, 1, 1, 1)}
    numbers |= {"z_D": torch.randn(5, 2, 8), "z_G": torch.randn(3, 4, 8)}
    expected = by_hand(*copy.deepcopy(networks), numbers, settings)
    before = copy.deepcopy(networks)
    found = trained(*networks, numbers, settings)
    for side in ("G", "D", "ema"):
        pairs = list(zip(found[side].parameters(), expected[side].parameters(), strict=True))
        assert all(torch.allclose(ours, theirs, rtol=0, atol=1e-9) for ours, theirs in pairs), side
    moved = zip(before[0].parameters(), found["G"].parameters(), strict=True)
    assert all((old - new).abs().max() > 1e-4 for old, new in moved)


def test_training_follows_the_published_recipes():
    for config, size, steps, half_life in (("cifar", 32, 4, 2_000_000), ("stl", 48, 5, 2_500_000)):
        tiny = Options(config=config, width=64, depths="1,1,1", d_width=32)
        defaults = build(tiny, size=size, classes=0).defaults
        assert (defaults.loss, defaults.discriminator_steps, defaults.generator_batch) == ("wasserstein", steps, 2)
        assert defaults.regularizers == ("gradient-penalty",)
        assert defaults.generator == defaults.discriminator == ADAM
        assert (ADAM.learning_rate, ADAM.betas, ADAM.gradient_clip) == (1e-4, (0, 0.99), 5)
        batch = {32: 64, 48: 32}[size]
        # The published 500,000 images count one of the D steps between two updates.
        assert defaults.ema_images * batch / 32 == half_life == steps * 500_000
        assert defaults.ema_ramp == pytest.approx(steps * {32: 0.1, 48: 0.05}[size])
    church = Options(config="church", width=256, depths="1,1,1,1,1,1", d_width=32, d_depth=1)
    defaults = build(church, size=256, classes=0).defaults
    # 0.995 in each G step, which comes with 4 batches of photos
    assert 0.5 ** (4 * 32 / defaults.ema_images) == pytest.approx(0.995, abs=1e-6)
    assert defaults.ema_ramp is None
