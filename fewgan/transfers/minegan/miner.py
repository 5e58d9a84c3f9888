"""The miner of MineGAN's BigGAN variant, and its two stages (Wang et al. 2019, arXiv 1912.05270, section 4)."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from fewgan.plugin import Group, Networks, SpectralLinear, advance


class Miner(nn.Module):
    """z [N, latent_dim], labels [N] (not looked at) -> mined z [N, latent_dim], mined condition [N, condition_dim].

    Two chains of four spectrally normalised linear layers from the same z, without activations. Where the generator
    takes no condition the second chain is left out and the condition has no columns. State-dict names are those of the
    public code: `linear`, `linear2` … `linear4` for z, `linear5` … `linear8` for the condition.
    """

    def __init__(self, latent_dim: int, condition_dim: int) -> None:
        super().__init__()
        self.condition_dim = condition_dim
        self.linear = SpectralLinear(latent_dim, latent_dim)
        self.linear2 = SpectralLinear(latent_dim, latent_dim)
        self.linear3 = SpectralLinear(latent_dim, latent_dim)
        self.linear4 = SpectralLinear(latent_dim, latent_dim)
        if condition_dim:
            self.linear5 = SpectralLinear(latent_dim, latent_dim)
            self.linear6 = SpectralLinear(latent_dim, latent_dim)
            self.linear7 = SpectralLinear(latent_dim, latent_dim)
            self.linear8 = SpectralLinear(latent_dim, condition_dim)

    def advance(self) -> None:
        """One power iteration in every layer."""
        for child in self.children():
            advance(child)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mined: Tensor = self.linear4(self.linear3(self.linear2(self.linear(z))))
        if not self.condition_dim:
            return mined, z.new_zeros(len(z), 0)
        condition: Tensor = self.linear8(self.linear7(self.linear6(self.linear5(z))))
        return mined, condition


class MineGAN(nn.Module):
    """Stage 1: the miner and D learn, G is frozen. Stage 2: all three learn, or the miner rests at a rate of 0.

    miner_steps: length of stage 1 in steps; None: default_steps, but at most a quarter of the run. rates: the miner's
    learning rate in stage 1 and in stage 2.
    """

    conditional = False  # y' takes the place of the class embedding, and D drops its projection term

    def __init__(
        self, networks: Networks, *, miner_steps: int | None, default_steps: int, rates: tuple[float, float]
    ) -> None:
        super().__init__()
        self.mapper = Miner(networks.generator.latent_dim, networks.generator.condition_dim)
        self.miner_steps, self.default_steps, self.rates = miner_steps, default_steps, rates
        self._outside = (networks.generator, networks.discriminator)  # in a tuple: they are no part of this module

    def groups(self) -> list[Group]:
        first, second = self.rates
        largest = max(first, second)  # of which the schedule takes a part

        def stage(index: int, steps: int) -> float:
            rate = first if index < self._mining(steps) else second
            return rate / largest if largest else 0.0

        return [Group(list(self.mapper.parameters()), largest, schedule=stage)]

    def trainable(self, index: int, steps: int) -> Iterable[nn.Parameter] | None:
        """Parameters that learn at step `index`, counted from 0, of a run of `steps`; None: all."""
        generator, discriminator = (
            [p for block in part.blocks() for p in block.parameters()] for part in self._outside
        )
        if index < self._mining(steps):
            return [*self.mapper.parameters(), *discriminator]
        return None if self.rates[1] else [*generator, *discriminator]

    def _mining(self, steps: int) -> int:
        """The length of stage 1 in a run of `steps`."""
        return min(self.default_steps, steps // 4) if self.miner_steps is None else self.miner_steps
