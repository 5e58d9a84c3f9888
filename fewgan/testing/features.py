"""What a feature network must do (fewgan.plugin.Features)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fewgan.testing.base import ModuleTests, finite


class FeaturesTests(ModuleTests):
    """Shapes and types for pictures of any size, and that each picture is looked at alone."""

    kind = "features"
    where = "fewgan.plugin.Features"
    choosing = "fid --features {}"

    def made(self) -> Any:
        return super().made().eval()

    def used(self, made: Any) -> Tensor:
        found: Tensor = super().used(made)
        return found

    @torch.no_grad()
    def _called(self, made: Any) -> Any:
        return made(_pictures(2))

    def test_weights_are_the_same_in_every_process(self) -> None:
        found = []
        for seed in (3, 4):
            torch.manual_seed(seed)
            found.append(self.used(self.made()))
        rule = "weights come from a file or from a generator of their own, so that scores of two days can be compared"
        self.must(bool(torch.equal(*found)), rule, "built under another seed it gives other features")

    @torch.no_grad()
    def test_shapes_and_types(self) -> None:
        made = self.made()
        self.must(type(made.dim) is int and made.dim > 0, "dim is a whole number from 1 on", made.dim)
        for count, size in ((1, 16), (3, 48)):
            pictures = _pictures(count, size)
            found = made(pictures)
            unchanged = torch.equal(pictures, _pictures(count, size))
            self.must(unchanged, "forward(images) leaves its argument as it is")
            rule = "forward(uint8 images [N, 3, H, W]) gives float32 [N, dim], for any H and W"
            self.must(tuple(found.shape) == (count, made.dim), rule, tuple(found.shape))
            self.must(found.dtype == torch.float32, rule, found.dtype)
            self.must(finite(found), "features are finite")

    @torch.no_grad()
    def test_each_picture_is_looked_at_alone(self) -> None:
        made, pictures = self.made(), _pictures(4, 32)
        together, alone = made(pictures), torch.cat([made(picture[None]) for picture in pictures])
        apart = ((together - alone).norm() / together.norm().clamp(min=1e-9)).item()
        self.must(apart < 1e-3, "features of a picture do not depend on the others of its batch", f"{apart:.1e} apart")
        different = (together[0] - together[1]).norm() > 1e-3 * together.norm()
        self.must(bool(different), "different pictures have different features")
        self.must(bool(torch.equal(made(pictures), together)), "the same pictures have the same features")

    def test_maps_are_of_each_picture_and_have_a_gradient(self) -> None:
        made = self.made()
        if not hasattr(made, "maps"):
            return
        for count, size in ((1, 32), (2, 48)):
            images = (_pictures(count, size).float() + 0.25).requires_grad_()
            maps = made.maps(images)
            rule = "maps(float images [N, 3, H, W]) gives at least one map [N, C, H, W], in a list"
            self.must(isinstance(maps, list) and bool(maps), rule, type(maps).__name__)
            shapes = [tuple(part.shape) for part in maps]
            self.must(all(len(shape) == 4 and shape[0] == count for shape in shapes), rule, shapes)
            self.must(all(finite(part) for part in maps), "maps are finite")
            rule = "maps(images) are differentiable with respect to the images"
            self.must(all(part.requires_grad for part in maps), rule, "some have no gradient")
            (gradient,) = torch.autograd.grad(sum(part.square().mean() for part in maps), images)
            self.must(finite(gradient) and bool(gradient.flatten(1).any(1).all()), rule, "none for some pictures")
        with torch.no_grad():
            alone = made.maps(images[:1])
        apart = max(
            ((one - both[:1]).norm() / both.norm().clamp(min=1e-9)).item()
            for one, both in zip(alone, maps, strict=True)
        )
        self.must(apart < 1e-3, "maps of a picture do not depend on the others of its batch", f"{apart:.1e} apart")

    def test_the_score_has_its_own_name(self) -> None:
        name = self.made().score_name
        self.must(isinstance(name, str) and bool(name.strip()) and "\n" not in name, "score_name is one line", name)
        # Only the standard weights may be called FID, and they are not at hand where tests run.
        self.must(name.strip().upper() != "FID", 'score_name is "FID" for the standard weights alone', name)


def _pictures(count: int, size: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    coarse = torch.randint(0, 256, (count, 3, size // 8, size // 8), generator=generator, dtype=torch.uint8)
    return coarse.repeat_interleave(8, 2).repeat_interleave(8, 3)
