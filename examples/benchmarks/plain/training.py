"""One training step the published way: D frozen while G learns and G while D does, one batch of real and fake for D.

Adam as it comes, gradients by `backward()`, the EMA tensor by tensor over the state dict.
"""

import copy

import torch
from torch.nn import functional as F

from plain.augmentation import diffaugment, flip_and_translate
from plain.networks import Discriminator, Generator, Miner

CR_WEIGHT = 10.0
EMA_DECAY = 0.9999


class Training:
    """Networks, optimizers, average and photos uint8 [n, 3, S, S]; `step()` is one update of G.

    mining: None, or MineGAN's stage 1 or 2, in which the miner stands before G and D is told no class.
    """

    def __init__(self, generator, discriminator, photos, *, batch, d_steps, mining=None, diffaugment=False, cr=False):
        self.generator, self.discriminator, self.photos = generator.train(), discriminator.train(), photos
        self.batch, self.d_steps, self.mining, self.diffaugment, self.cr = batch, d_steps, mining, diffaugment, cr
        self.miner = None if mining is None else Miner(generator.latent_dim, generator.shared_dim).train()
        learning = list(generator.parameters()) if mining != 1 else []
        learning += list(self.miner.parameters()) if mining else []
        self.optimizer_g = torch.optim.Adam(learning, lr=1e-4, betas=(0.0, 0.999), eps=1e-6)
        self.optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=4e-4, betas=(0.0, 0.999), eps=1e-6)
        self.pairs = [(copy.deepcopy(net).requires_grad_(False), net) for net in (generator, self.miner) if net]

    def step(self):
        """D d_steps times, G once, then the average; returns both losses as tensors."""
        self._learn(generator=False)
        for _ in range(self.d_steps):
            self.optimizer_g.zero_grad()
            self.optimizer_d.zero_grad()
            loss_d = self._discriminator_loss(self._photos())
            loss_d.backward()
            self.optimizer_d.step()
        self._learn(generator=True)
        self.optimizer_g.zero_grad()
        fake = self._fake()
        shown = diffaugment(fake) if self.diffaugment else fake
        loss_g = -self.discriminator(shown, None).mean()
        loss_g.backward()
        self.optimizer_g.step()
        self._average()
        return loss_d.detach(), loss_g.detach()

    def _learn(self, *, generator):
        self.generator.requires_grad_(generator and self.mining != 1)
        if self.miner is not None:
            self.miner.requires_grad_(generator)
        self.discriminator.requires_grad_(not generator)

    def _photos(self):
        chosen = torch.randint(len(self.photos), (self.batch,))
        images = self.photos[chosen].float() / 127.5 - 1
        return torch.where(torch.rand(self.batch, 1, 1, 1) < 0.5, images.flip(3), images)

    def _fake(self):
        z = torch.randn(self.batch, self.generator.latent_dim)
        if self.miner is not None:
            return self.generator(*self.miner(z))
        return self.generator(z, self.generator.embed(torch.zeros(self.batch, dtype=torch.int64)))

    def _discriminator_loss(self, real):
        with torch.no_grad():
            fake = self._fake()
        seen = torch.cat([fake, real])
        if self.diffaugment:
            seen = diffaugment(seen)
        if self.cr:  # the augmented photos that D judges anyway are paired with the raw ones
            seen = torch.cat([seen, real if self.diffaugment else flip_and_translate(real)])
        logits = self.discriminator(seen, None).split(self.batch)
        loss = torch.mean(F.relu(1.0 - logits[1])) + torch.mean(F.relu(1.0 + logits[0]))
        if self.cr:
            loss = loss + CR_WEIGHT * torch.mean((logits[2] - logits[1]) ** 2)
        return loss

    def _average(self):
        with torch.no_grad():
            for average, live in self.pairs:
                theirs = live.state_dict()
                for name, tensor in average.state_dict().items():
                    tensor.copy_(tensor * EMA_DECAY + theirs[name] * (1 - EMA_DECAY))


def networks(size, width, attention, classes):
    """G and D of one size, freshly initialised."""
    return Generator(size, width, attention, classes), Discriminator(size, width, attention, classes)
