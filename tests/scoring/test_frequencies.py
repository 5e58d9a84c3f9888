"""Generated pictures have classes as often as the photos, in scores too."""

from types import SimpleNamespace

import torch

from fewgan.sampling import generate
from fewgan.sampling.latent import labels


def test_labels_are_drawn_as_often_as_photos_have_them():
    drawn = labels(0, 0, 4000, 2, counts=(20, 180))
    assert 0.88 < drawn.float().mean() < 0.92
    assert torch.equal(drawn[100:110], labels(0, 100, 10, 2, counts=(20, 180)))  # of each picture alone


class Counted:
    """A model that notes the labels it is asked for."""

    device, class_counts = torch.device("cpu"), (1, 9)
    generator = SimpleNamespace(latent_dim=3, classes=2)

    def __init__(self):
        self.asked = []

    def generate(self, z, chosen, truncation):
        self.asked += chosen.tolist()
        return torch.zeros(len(z), 3, 4, 4)


def test_pictures_follow_the_counts_of_their_model():
    model = Counted()
    assert sum(map(len, generate.pictures(model, 640))) == 640
    assert 0.85 < sum(model.asked) / len(model.asked) < 0.95


def test_a_gpu_makes_more_pictures_at_once():
    sizes = {kind: generate.group_size(torch.device(kind)) for kind in ("cpu", "cuda")}
    assert sizes["cuda"] >= 8 * sizes["cpu"]
