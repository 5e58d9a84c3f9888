"""Golden numbers: those beside the tests, or the whole set in the folder named by FEWGAN_GOLDEN.

Those beside the tests are a part: of images the samples in `rows` (of blurs the first), of gradients of matrices the
first rows.
"""

import json
import os
from pathlib import Path

import torch
from safetensors.torch import load_file

GIVEN = Path(os.environ.get("FEWGAN_GOLDEN", "")) / "contrad"
FOLDER = GIVEN if GIVEN.is_dir() and os.environ.get("FEWGAN_GOLDEN") else Path(__file__).parent / "golden" / "contrad"
CONFIG = json.loads((FOLDER / "config.json").read_text())


def read(name):
    """The tensors of one file."""
    return load_file(FOLDER / f"{name}.safetensors")


def operations():
    """Names of the operations, each with some output."""
    return sorted(name.removesuffix(".output") for name in read("aug") if name.endswith(".output"))


class Operation:
    """Input, draws, output and gradient of one operation, for the samples that there are."""

    def __init__(self, name):
        self.tensors = {key.removeprefix(f"{name}."): t for key, t in read("aug").items() if key.startswith(f"{name}.")}
        self.images = self.tensors["x"]
        self.whole = CONFIG["B"] if self.tensors["x"].shape[-1] == CONFIG["S"] else len(self.images)
        if name.startswith("blur"):
            self.whole = 2
        self.rows = CONFIG.get("rows", range(self.whole)) if self.whole == CONFIG["B"] else range(len(self.images))

    def __getitem__(self, name):
        """A draw, for the samples that there are where it is one for each sample."""
        drawn = self.tensors[name]
        return drawn[list(self.rows)] if drawn.dim() and len(drawn) == self.whole else drawn

    def gradient(self, output, images):
        """Of the sum of the whole batch's output · linspace(−1, 1)."""
        weights = torch.linspace(-1, 1, self.whole * output[0].numel()).view(self.whole, *output.shape[1:])
        (found,) = torch.autograd.grad((output * weights[list(self.rows)]).sum(), images)
        return found


def error(found, reference):
    """Largest difference over the reference's largest magnitude; the reference may be a corner of what was found."""
    found = found[tuple(map(slice, reference.shape))]
    return ((found - reference).abs().max() / reference.abs().max().clamp(min=1e-12)).item()
