"""Which folder names the class of a photo, and which merely wraps the others."""

import pytest
from test_gather import fill

from fewgan.photos.gather import gather


@pytest.mark.parametrize("wrap", ["", "wrap/", "wrap/again/"])
def test_groups_are_the_first_folders_below_what_wraps_all(tmp_path, wrap):
    fill(tmp_path, [f"{wrap}{name}" for name in ("cat/1.jpg", "dog/deep/2.jpg", "stray.jpg")] + ["README.txt"])
    with gather(tmp_path, grouped=True) as found:
        groups = {photo.name.removeprefix(wrap): photo.group for photo in found.photos}
        kinds = {refusal.name.removeprefix(wrap): refusal.kind for refusal in found.refused}
    assert groups == {"cat/1.jpg": "cat", "dog/deep/2.jpg": "dog"}
    assert kinds == {"stray.jpg": "in no class", "README.txt": "not a picture"}


def test_one_name_in_two_forms_is_one_group(tmp_path):
    """As a Mac writes it, and as others do."""
    fill(tmp_path, ["Caf\u00e9/1.jpg", "Cafe\u0301/2.jpg", "dog/3.jpg"])
    with gather(tmp_path, grouped=True) as found:
        assert {photo.group for photo in found.photos} == {"Caf\u00e9", "dog"}


def test_one_folder_is_one_group(tmp_path):
    fill(tmp_path, ["cat/1.jpg", "cat/2.jpg"])
    with gather(tmp_path, grouped=True) as found:
        assert {photo.group for photo in found.photos} == {"cat"}


def test_a_folder_below_the_only_class_makes_it_no_wrap(tmp_path):
    fill(tmp_path, ["cats/1.jpg", "cats/2.jpg", "cats/3.jpg", "cats/more/4.jpg"])
    with gather(tmp_path, grouped=True) as found:
        assert {photo.name: photo.group for photo in found.photos}.keys() >= {"cats/1.jpg", "cats/more/4.jpg"}
        assert {photo.group for photo in found.photos} == {"cats"}


def test_a_stray_photo_beside_the_wrap_makes_it_no_class(tmp_path):
    fill(tmp_path, ["photos/cat/1.jpg", "photos/dog/2.jpg", "photos/emu/3.jpg", "cover.png"])
    with gather(tmp_path, grouped=True) as found:
        assert {photo.group for photo in found.photos} == {"cat", "dog", "emu"}
        assert {refusal.name: refusal.kind for refusal in found.refused} == {"cover.png": "in no class"}
