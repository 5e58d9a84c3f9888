"""ContraD (Jeong & Shin 2021, arXiv 2103.09742): D's features learn by contrast, a head on them by the GAN loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewgan.plugin import Networks, Plugin, UsageError, option

if TYPE_CHECKING:
    from fewgan_contrad.contrad import ContraD

LOSSES = ("nonsaturating", "hinge", "wasserstein", "lsgan")
VIEWS = ("simclr", "simclr_hq", "simclr_hq_cutout")
LEAST_HQ_SIDE = 128  # from here on the published views have blur


@dataclass(frozen=True, kw_only=True)
class Options:
    loss: str = option("nonsaturating", f"Loss of its GAN head and of G: {', '.join(LOSSES)}.")
    views: str | None = option(
        None, f"Views of images: {', '.join(VIEWS)}. Default: simclr, from {LEAST_HQ_SIDE} px on simclr_hq."
    )
    temperature: float = option(0.1, "Of both contrastive losses.", min=0.001, max=100)
    fake_weight: float = option(1.0, "Weight of the contrastive loss of fakes, the paper's lambda.", min=0, max=1000)
    crop: float = option(0.2, "Least area of a view's crop; published: 0.2, at 512 px 0.08.", min=0.01, max=1)
    jitter: float = option(0.4, "Strength of a view's colour jitter; published: 0.4, at 512 px 0.8.", min=0, max=1)
    cutout: int | None = option(None, "Side of the square that is cut out, odd. Default: half the image's.", min=1)
    r1: float = option(0.0, "Weight of R1 through its GAN head; published with StyleGAN2: 0.1, at 512 px 0.5.", min=0)
    r1_every: int = option(16, "Steps from one R1 to the next, whose weight is multiplied by it.", min=1)
    warmup: float = option(
        0.03, "Share of the run in which learning rates rise linearly; published: 3,000 of 100,000 steps.", min=0, max=1
    )
    hidden: int = option(512, "Width of the hidden layer of each head.", min=1, max=65536)
    projection: int = option(128, "Width of what is contrasted.", min=1, max=65536)
    spectral: bool | None = option(None, "Heads are spectrally normalised. Default: if D is.")


def build(options: Options, *, networks: Networks) -> ContraD:
    from fewgan_contrad.contrad import ContraD
    from fewgan_contrad.heads import Heads, feature_count, is_spectral
    from fewgan_contrad.views import Views

    if options.loss not in LOSSES:
        raise UsageError(f"--contrad-loss {options.loss}: must be one of {', '.join(LOSSES)}")
    if options.views not in (None, *VIEWS):
        raise UsageError(f"--contrad-views {options.views}: must be one of {', '.join(VIEWS)}")
    if options.cutout is not None and options.cutout % 2 == 0:
        raise UsageError(f"--contrad-cutout {options.cutout}: must be odd, so that the square has a centre")
    size, classes = networks.generator.size, networks.generator.classes
    kind = options.views or ("simclr" if size < LEAST_HQ_SIDE else "simclr_hq")
    views = Views(
        kind, least_area=options.crop, jitter=options.jitter, cutout=options.cutout or max(size // 2 - 1, 1) | 1
    )
    heads = Heads(
        feature_count(networks.discriminator),
        hidden=options.hidden,
        projection=options.projection,
        classes=classes if classes > 1 else 0,
        spectral=is_spectral(networks.discriminator) if options.spectral is None else options.spectral,
    )
    return ContraD(
        networks.discriminator.features,
        heads,
        views,
        loss=options.loss,
        temperature=options.temperature,
        fake_weight=options.fake_weight,
        r1=options.r1,
        r1_every=options.r1_every,
        warmup=options.warmup,
    )


plugin = Plugin(
    api=1,
    summary="ContraD: D's features learn by contrast, in the place of its adversarial loss (Jeong & Shin 2021)",
    options=Options,
    build=build,
)
