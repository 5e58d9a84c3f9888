"""What is tested of the plugins that see steps: regularizers and transfer methods."""

from __future__ import annotations

from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from fewgan.plugin import Networks, Step
from fewgan.testing import tiny
from fewgan.testing.base import TrainedTests, finite, modules, networks, parameters
from fewgan.training.players import Players


class PlayingTests(TrainedTests):
    """Their losses, and that they play with the networks that they were built with."""

    _learns_with: ClassVar[tuple[str, ...]]  # the sides in whose steps its own parameters learn
    _among: ClassVar[WeakKeyDictionary[Any, Networks]] = WeakKeyDictionary()

    def made(self, among: Networks | None = None) -> Any:
        plugin, options = self.choice.plugin()
        among = among or networks()
        made = plugin.build(options, networks=among)
        self._among[made] = among
        return made

    def test_it_holds_none_of_the_networks(self) -> None:
        among = networks()
        shared = {id(p) for p in parameters(among)} & {id(p) for p in parameters(self.made(among))}
        rule = "the networks are no modules of it, which would learn twice and be stored twice; keep them in a tuple"
        self.must(not shared, rule, f"{len(shared)} of their parameters are among its own")

    def _stored(self, made: Any) -> list[nn.Module]:
        return [made, *modules(self._networks_of(made))]

    def _networks_of(self, made: Any) -> Networks:
        """Those that it was built with, whose modules it may look into."""
        return self._among.get(made) or networks()

    def _asked(self, made: Any, hook: str, step: Step) -> Any:
        """What a hook makes of a step."""
        before = {name: value.detach().clone() for name, value in vars(step).items() if isinstance(value, Tensor)}
        with self._told(f"{hook}(step) works with a step of a run, with classes and without"):
            given = getattr(made, hook)(step)
        changed = [name for name, tensor in before.items() if not torch.equal(getattr(step, name), tensor)]
        rule = f"{hook}(step) leaves the tensors of the step as they are, which the core and other plugins use, too"
        self.must(not changed, rule, ", ".join(changed))
        return given

    def _check_loss(self, made: Any, among: Networks, side: str, step: Step) -> None:
        loss = self._asked(made, f"{side}_loss", step)
        self.must(isinstance(loss, Tensor) and loss.dim() == 0, f"{side}_loss(step) is a scalar Tensor", loss)
        self.must(finite(loss), f"{side}_loss(step) is finite", loss)
        if not loss.requires_grad:
            self.must(loss.item() == 0, f"{side}_loss(step) has a gradient where it is not 0", loss)
            return
        learning = [*getattr(among, side).parameters(), *(made.parameters() if side in self._learns_with else ())]
        learning = [parameter for parameter in learning if parameter.requires_grad]
        with self._told(f"{side}_loss(step) can be differentiated"):
            gradients = torch.autograd.grad(loss, learning, allow_unused=True)
        there = tuple(gradient for gradient in gradients if gradient is not None)
        self.must(bool(there), f"{side}_loss(step) has a gradient for what learns in the {side}'s step")
        self.must(finite(there), f"the gradient of {side}_loss(step) is finite")


def made_step(players: Players, *, index: int, side: str, classes: int, needs_real: bool) -> Step:
    """A step as the core makes one, with an augmentation that turns pictures round."""
    real = torch.rand(4, 3, tiny.SIZE, tiny.SIZE) * 2 - 1
    z, labels = torch.randn(4, tiny.LATENT), torch.arange(4) % max(classes, 1)
    fake = players.generate(z, labels)
    if side == "discriminator":
        fake = fake.detach()
    shown = labels if classes and players.conditional else None
    common: dict[str, Any] = {"index": index, "images_seen": 4 * index, "planned_images": 40_000, "z": z}
    common |= {"fake": fake, "fake_labels": shown}
    common |= {"fake_augmented": fake.flip(3), "logits_fake": players.discriminate(fake.flip(3), shown)}
    common |= {"generator": players.generator, "discriminator": players.discriminator}
    common |= {"generate": players.generate, "augment": lambda images: images.flip(3)}
    photos: dict[str, Any] = dict.fromkeys(("real", "real_augmented", "labels", "logits_real"))
    if side == "discriminator" or needs_real:
        photos |= {"real": real, "real_augmented": real.flip(3), "labels": shown}
    if side == "discriminator":
        photos |= {"logits_real": players.discriminate(real.flip(3), shown)}
    return Step(**common, **photos)
