"""Whose picture a file is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fewgan.plugin import UsageError
from fewgan.sampling import imagefile


def test_files_of_another_origin_have_no_facts(tmp_path: Path) -> None:
    random.seed(0)
    for content in (b"", b"\x89PNG\r\n\x1a\n", random.randbytes(2000), b"GIF89a" + random.randbytes(100)):
        (tmp_path / "file").write_bytes(content)
        assert imagefile.facts_of(tmp_path / "file") is None


@pytest.mark.parametrize("comment", ["fewgan 5", 'fewgan {"a":' + 2000 * "[", "fewgan {", "fewgan null"])
def test_a_comment_that_only_begins_like_fewgans_has_no_facts(tmp_path: Path, comment: str) -> None:
    text = PngInfo()
    text.add_text("Comment", comment)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=text)
    assert imagefile.facts_of(tmp_path / "a.png") is None
    with pytest.raises(UsageError, match=r"a\.png: not made by fewgan"):
        imagefile.refuse_to_overwrite(tmp_path, ["a.png"], {"run": "x"})


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"II*\0", b"MM\0*", b"Exif\0\0II*\0"])
def test_a_sound_picture_with_a_cut_exif_block_has_no_facts(tmp_path: Path, kind: str, exif: bytes) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a", kind, exif=exif)
    assert imagefile.facts_of(tmp_path / "a") is None
