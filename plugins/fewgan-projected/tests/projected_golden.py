"""Golden numbers: those beside the tests, and more in the folder named by FEWGAN_GOLDEN.

Those beside the tests are a part: of images the first rows of the first one, of the separable discriminator one head
(`heads`), which reads the coarsest features alone, so that zeros stand for the mixing of the others (`unused`).
"""

import json
import os
import zlib
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

HERE = Path(__file__).parent / "golden"
GIVEN = os.environ.get("FEWGAN_GOLDEN")


def folders(kind):
    """Every golden folder of a kind (fastgan, projected): a committed one gives way to one given."""
    found = {path.name: path for path in HERE.glob(f"{kind}-*")}
    found |= {path.name: path for path in Path(GIVEN).glob(f"{kind}-*")} if GIVEN else {}
    return [found[name] for name in sorted(found)]


def nets(kind, holding=""):
    """(folder, net, its config) of every golden net that has some number of the given name, each a pytest parameter."""
    found = []
    for folder in folders(kind):
        config = json.loads((folder / "config.json").read_text())
        found += [
            pytest.param((folder, net, config[net]), id=f"{folder.name}-{net}")
            for net in config
            if net != "backbone" and holding in _names(folder / f"{net}-io.safetensors")
        ]
    return found


def _names(path):
    with safe_open(path, "pt") as file:
        return ["", *file.keys()]


def load(folder, net, config):
    """The state dict under the published names, and inputs and outputs."""
    state = load_file(folder / f"{net}.safetensors")
    for name, shape in config.get("by_rule", []):
        random = torch.Generator().manual_seed(zlib.crc32(name.encode()) + config["salt"])
        weight = torch.randn(shape, generator=random)
        state[name] = weight / torch.Size(shape[1:]).numel() ** 0.5
    state |= {name: torch.zeros(shape) for name, shape in config.get("unused", [])}
    return state, load_file(folder / f"{net}-io.safetensors")


def error(found, reference):
    """Largest difference over the reference's largest magnitude; the reference may be a corner of what was found."""
    found = found[tuple(map(slice, reference.shape))]
    return ((found - reference).abs().max() / reference.abs().max()).item()


def distance(found, reference):
    """Relative L2."""
    return ((found - reference).norm() / reference.norm()).item()
