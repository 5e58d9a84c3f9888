"""Features on the device of `--device`, against those on the CPU."""

import torch

from fewgan.registry import choose
from fewgan.scoring import distances
from fewgan.scoring.extract import extract
from fewgan.screen import Screen


def test_features_and_distances_are_those_of_the_cpu(device):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8)
    plugin, options = choose("features", "random").plugin()

    def features(where):
        module = plugin.build(options).to(where).eval()
        groups = lambda first, stop: iter([images[first:stop]])  # noqa: E731
        return extract(module, groups, 12, device=where, label="test", screen=Screen(quiet=True))

    made, expected = features(device), features(torch.device("cpu"))
    assert made.shape == (12, plugin.build(options).dim)
    assert torch.allclose(made, expected, rtol=1e-2, atol=1e-2 * expected.abs().max())
    assert distances.frechet(made, expected) < 1e-2 * expected.var(dim=0).sum()
