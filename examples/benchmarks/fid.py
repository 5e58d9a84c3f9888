"""What scoring costs: features on this machine, and the Fréchet distance against the two usual ways.

    python examples/benchmarks/fid.py

Everything is timed in one run, best of several; seeded weights, since speed does not depend on them.
"""

import time

import numpy as np
import scipy.linalg
import torch

from fewgan.features.inception.network import Inception, by_shape
from fewgan.scoring import distances

BATCH, REAL, FAKE = 16, 100, 5000


def best(function, times=3):
    function()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def features():
    torch.manual_seed(0)
    state = {
        name: torch.zeros((), dtype=torch.int64) if name.endswith("tracked") else torch.rand(tensor.shape) * 0.05 + 0.01
        for name, tensor in by_shape().state_dict().items()
    }
    plain = by_shape()
    plain.load_state_dict(state, assign=True)
    plain.eval()
    folded = Inception(state, score_name="benchmark")
    images = torch.randint(0, 256, (BATCH, 3, 64, 64), dtype=torch.uint8)
    large = torch.nn.functional.interpolate(images / 255, size=(299, 299), mode="bilinear")
    with torch.inference_mode():
        slow, fast = best(lambda: plain(2 * large - 1)), best(lambda: folded(images))
    print(f"Inception, batch {BATCH}, {torch.get_num_threads()} threads")
    print(f"  as published          {BATCH / slow:6.1f} pictures/s")
    print(f"  folded, channels last {BATCH / fast:6.1f} pictures/s   {slow / fast:.2f} times, the resize included")


def frechet():
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(2048, 2048, generator=generator) / 45 * torch.logspace(0, -2, 2048)
    real, fake = ((torch.randn(count, 2048, generator=generator) @ mix).abs() for count in (REAL, FAKE))

    def parts():
        a, b = real.double().numpy(), fake.double().numpy()
        means = float(((a.mean(0) - b.mean(0)) ** 2).sum())
        return means, np.cov(a, rowvar=False), np.cov(b, rowvar=False)

    def eigvals():
        means, first, second = parts()
        root = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real.sum()
        return means + np.trace(first) + np.trace(second) - 2 * root

    def sqrtm():
        means, first, second = parts()
        root = scipy.linalg.sqrtm(first @ second).real
        return means + np.trace(first) + np.trace(second) - 2 * np.trace(root)

    print(f"Fréchet distance, {REAL} against {FAKE}, 2,048 features")
    own = best(lambda: distances.frechet(real, fake))
    print(f"  nuclear norm {own:7.3f} s             {distances.frechet(real, fake):.9g}")
    for function in (eigvals, sqrtm):
        start = time.perf_counter()
        value = function()
        seconds = time.perf_counter() - start
        print(f"  {function.__name__:<12} {seconds:7.3f} s  {seconds / own:5.0f} times  {value:.9g}")


if __name__ == "__main__":
    features()
    frechet()
