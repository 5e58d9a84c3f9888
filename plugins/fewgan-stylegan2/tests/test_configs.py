"""The named configurations."""

import pytest
from fewgan_stylegan2.configs import CONFIGURATIONS, configuration, lazy


@pytest.mark.parametrize(
    ("size", "processes", "batch", "expected"),
    [
        (32, 1, 32, (16384, 0.0025, 4)),
        (128, 1, 32, (16384, 0.0025, 4)),
        (256, 1, 16, (16384, 0.0025, 4)),
        (512, 1, 8, (32768, 0.0025, 4)),
        (1024, 1, 4, (32768, 0.002, 4)),
        (256, 8, 64, (16384, 0.0025, 4)),
        (1024, 8, 32, (32768, 0.002, 4)),
        (128, 100, 100, (16384, 0.0025, 1)),
    ],
)
def test_auto_follows_size_and_processes(size, processes, batch, expected):
    found = configuration("auto", size, processes)
    assert (found.channel_base, found.learning_rate, found.group) == expected
    assert found.batch == batch
    assert found.gamma == pytest.approx(0.0002 * size * size / batch)
    assert found.ema_images == round(batch * 10_000 / 32)
    assert found.mapping_layers == 2


def test_channels():
    assert configuration("auto", 256).channels(256) == {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64}
    assert configuration("paper512", 512).channels(512)[512] == 64
    assert min(configuration("paper256", 1024).channels(1024).values()) == 16


def test_cifar_is_the_one_without_shortcuts_mixing_and_path_length():
    assert set(CONFIGURATIONS) == {"auto", "stylegan2", "paper256", "paper512", "paper1024", "cifar"}
    for name in CONFIGURATIONS:
        found = configuration(name, 64)
        assert (found.architecture == "orig") == (found.mixing == 0) == (found.path_length == 0) == (name == "cifar")


def test_lazy_regularization_scales_rate_and_betas():
    rate, betas = lazy(0.0025, (0.0, 0.99), 16)
    assert rate == pytest.approx(0.0025 * 16 / 17)
    assert betas == (0.0, pytest.approx(0.99 ** (16 / 17)))
