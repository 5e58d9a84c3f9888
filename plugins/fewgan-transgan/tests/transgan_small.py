"""Options of networks of 16 px, which no command line can ask for: small enough to train in tests."""

from fewgan_transgan.shapes import GeneratorShape, Stage, as_text, discriminator_shape

SIZE = 16


def _options(generator, discriminator):
    return {"generator_shape": as_text(generator), "discriminator_shape": as_text(discriminator)}


def _stages(*maps):
    return tuple(
        Stage(side=side, width=width, depth=depth, window=window, up=up) for side, width, depth, window, up in maps
    )


# As at 32 px: global attention, pixel shuffle, LayerNorm, noise in D.
PLAIN = _options(
    GeneratorShape(
        latent_dim=8, stages=_stages((4, 64, 1, 4, ""), (8, 16, 1, 8, "shuffle"), (16, 4, 1, 16, "shuffle"))
    ),
    discriminator_shape("two", SIZE, width=32, depth=1, patch=2),
)
# As CelebA-HQ's: windows, bicubic interpolation, PixelNorm, noise in G, cross-attention.
MAPS = ((4, 32, 0, 4, ""), (8, 32, 1, 8, "bicubic"), (16, 8, 1, 4, "shuffle"))
CROSS = _options(
    GeneratorShape(latent_dim=8, stages=_stages(*MAPS), norm="pn", noise=True, cross=True),
    discriminator_shape("celebahq", SIZE, width=32, depth=2, patch=2, norm="ln", noise=False, bias=False),
)
