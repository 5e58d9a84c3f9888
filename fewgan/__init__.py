"""fewgan: new pictures from few photos, by transferring what a pretrained GAN already knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewgan.sources.load import load
    from fewgan.sources.model import Model

__all__ = ["Model", "__version__", "load"]


def __getattr__(name: str) -> Any:
    # Late, so that `fewgan --help` starts without torch and without reading package metadata.
    if name == "__version__":
        from importlib.metadata import version

        return version("fewgan")
    if name in ("Model", "load"):
        import fewgan.sources.load

        return getattr(fewgan.sources.load, name)
    raise AttributeError(f"module 'fewgan' has no attribute {name!r}")
