"""What a file is, whatever its name says: each with what to do about it."""

import gzip
import io
import sys
import tarfile
import types
import zipfile
from contextlib import suppress

import pytest
from drawn import draw, noise, smooth, written
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fewgan.photos import kinds
from fewgan.photos.decode import decode
from fewgan.photos.gather import gather
from fewgan.photos.kinds import Refused, is_fault
from fewgan.photos.prepare import prepare
from fewgan.photos.squares import Square, square
from fewgan.plugin import FewganError, UsageError
from fewgan.screen import Screen

QUIET = Screen(quiet=True)


def zipped(name: str = "a.jpg") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "x")
    return file.getvalue()


def boxed(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1" + brand + bytes(3000)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 99\n"
# bytes -> (kind, words in the reason); "" stands for "unreadable" by a picture's name, else "not a picture"
CONTENTS = {
    "zip": (zipped(), "archive", "unpack"),
    "rar": (b"Rar!\x1a\x07\x01\x00" + bytes(99), "archive", "unpack"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(99), "archive", "unpack"),
    "gzip": (b"\x1f\x8b\x08" + bytes(99), "archive", "unpack"),
    "tar": (bytes(257) + b"ustar\x0000" + bytes(999), "archive", "unpack"),
    "lfs": (LFS, "Git LFS pointer", "git lfs pull"),
    "annex": (b"/annex/objects/SHA256E-s9--4d7a.jpg\n", "Git LFS pointer", "git annex get"),
    "heic": (boxed(b"heic"), "unsupported", "HEIC photo; install the package pillow-heif"),
    "heif sequence": (boxed(b"msf1"), "unsupported", "pillow-heif"),
    "jxl": (b"\xff\x0a" + bytes(99), "unsupported", "JPEG XL photo; install the package pillow-jxl-plugin"),
    "jxl in boxes": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99), "unsupported", "pillow-jxl-plugin"),
    "cr2": (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), "unsupported", "RAW"),
    "cr3": (boxed(b"crx "), "unsupported", "RAW"),
    "raf": (b"FUJIFILMCCD-RAW 0201" + bytes(99), "unsupported", "RAW"),
    "psd": (b"8BPS\0\1" + bytes(99), "unsupported", "Photoshop"),
    "pdf": (b"%PDF-1.7\n" + bytes(99), "unsupported", "PDF"),
    "svg": (b'<?xml version="1.0"?>\n<svg xmlns="x"></svg>', "unsupported", "SVG"),
    "dicom": (bytes(128) + b"DICM" + bytes(99), "unsupported", "DICOM"),
    "mp4": (boxed(b"isom"), "video", "extract frames"),
    "mov": (boxed(b"qt  "), "video", "extract frames"),
    "avi": (b"RIFF\0\0\0\0AVI LIST" + bytes(99), "video", "extract frames"),
    "webm": (b"\x1aE\xdf\xa3" + bytes(99), "video", "extract frames"),
    "html": (b"<!DOCTYPE html>\n<html><title>404</title>", "", "web page"),
    "json": (b'{"message": "Not Found"}', "", "JSON"),
    "text": ("no picture, só texto".encode(), "", "text"),
    "pickle": (b"\x80\x04\x95" + bytes(99), "", "whole module"),
    "numpy": (b"\x93NUMPY\1\0" + bytes(99), "", "NumPy"),
    "zeros": (bytes(4096), "", "zero bytes; download or copy it again"),
    "arrow": (b"ARROW1\0\0" + bytes(99), "", "save each picture as a file"),
    "recordio": (b"\x0a\x23\xd7\xce" + bytes(99), "", "RecordIO"),
    "mnist": (b"\0\0\x08\x03" + b"\1" * 99, "", "MNIST"),
    "lmdb": (bytes(16) + b"\xde\xc0\xef\xbe" + bytes(99), "", "LMDB"),
    "ico": (b"\0\0\1\0\1\0" + bytes(99), "unsupported", "Windows icon"),
    "jxr": (b"II\xbc\1" + bytes(99), "unsupported", "JPEG XR"),
    "shortcut": (b"L\0\0\0\1\x14\2\0" + bytes(99), "", "Windows shortcut"),
    "alias": (b"book\0\0\0\0mark" + bytes(99), "", "macOS alias"),
}


@pytest.fixture(autouse=True)
def without_plugins(monkeypatch):
    for module in ("pillow_heif", "pillow_jxl"):
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize("name", ["a.jpg", "b.PNG", "c.tiff", "data"])
@pytest.mark.parametrize("content", CONTENTS)
def test_a_reason_says_what_the_file_is(content, name):
    data, kind, words = CONTENTS[content]
    refusal = square(name, data, 32, "center")
    assert refusal.kind == (kind or ("unreadable" if name != "data" else "not a picture"))
    assert refusal.reason.startswith(refusal.kind)
    assert words in refusal.reason or (name == "data" and not kind)
    assert "\n" not in refusal.reason


@pytest.mark.parametrize("name", ["a.tga", "b.DDS", "c.exr", "d.xcf"])
def test_pictures_that_are_not_read_are_told_by_their_names(name):
    refusal = square(name, b"\0\0\2" + bytes(99), 32, "center")
    assert refusal.kind == "unsupported"
    assert "export it as JPEG or PNG" in refusal.reason
    assert is_fault(name, refusal.kind)


@pytest.mark.parametrize("content", CONTENTS)
def test_the_error_for_a_folder_of_one_such_file_says_so_too(tmp_path, content):
    data, _, words = CONTENTS[content]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(data)
    with pytest.raises(UsageError, match="No usable photo") as caught:
        prepare(tmp_path / "photos", tmp_path / "out", size=32, screen=QUIET)
    assert words in str(caught.value)


@pytest.mark.parametrize("content", ["rar", "7z", "lfs", "heic", "pdf", "mp4", "html", "json", "pickle", "zeros"])
def test_the_error_for_such_a_file_in_place_of_a_folder_says_so_too(tmp_path, content):
    (tmp_path / "photos").write_bytes(CONTENTS[content][0])
    with pytest.raises(UsageError, match="give a folder of photos, a zip or a tar"), gather(tmp_path / "photos"):
        pass


def test_a_picture_in_place_of_a_folder(tmp_path):
    for form in ("PNG", "JPEG", "WEBP", "BMP", "GIF"):
        (tmp_path / form).write_bytes(written(smooth(600, 600), form).getvalue())
        with pytest.raises(UsageError, match="is a single picture: give a folder"), gather(tmp_path / form):
            pass


@pytest.mark.parametrize("name", ["a.nef", "b.DNG", "c.arw", "d.Cr2"])
def test_raw_photos_are_known_by_name(name):
    tiff = written(smooth(64, 64), "TIFF").getvalue()
    refusal = square(name, tiff, 32, "center")
    assert refusal.kind == "unsupported"
    assert "RAW" in refusal.reason


def test_a_dng_by_another_name_is_known_by_its_tag():
    tags = {50706: b"\1\4\0\0"}
    with pytest.raises(Refused, match="DNG"):
        decode(written(smooth(64, 64), "TIFF", tiffinfo=tags), 32)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM", "JPEG2000", "AVIF"]),
    st.sampled_from(["a.jpg", "a.heic", "a.jxl", "a", "a.txt"]),
    st.integers(0, 2**32 - 1),
)
def test_no_picture_is_taken_for_something_else(form, name, seed):
    data = written(Image.fromarray(noise((40, 40, 3), seed)), form).getvalue()
    assert isinstance(square(name, data, 32, "center"), Square)


@given(st.binary(max_size=600), st.sampled_from(["a.jpg", "a.zip", "a"]))
def test_any_bytes_have_a_kind_or_none(head, name):
    with suppress(Refused):
        kinds.check_head(head, name)


SIDECARS = {
    "dataset.json": b'{"labels": [["0.png", 6]]}',
    "photo.xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>",
    "photo.jpg.json": b'{"title": "photo.jpg"}',
    "photo.txt": b"a photo of a cat",
    "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    ".DS_Store": b"\0\0\0\1Bud1" + bytes(600),
    "._000.jpg": b"\0\5\x16\7" + bytes(99),
    "__MACOSX/._000.jpg": b"\0\5\x16\7" + bytes(99),
    "IMG_1.MOV": boxed(b"qt  "),
    "model.pt": zipped("archive/data.pkl"),
    "empty": b"",
    "photos.zip": zipped(),
    "weights.bin": LFS,
}


@pytest.mark.parametrize("packed", [False, True])
def test_anything_may_lie_beside_photos(tmp_path, packed):
    source = draw(tmp_path / "photos", 3)
    for name, data in SIDECARS.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(data)
    if packed:
        with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
            for path in source.rglob("*"):
                archive.write(path, path.relative_to(source))
        source = tmp_path / "photos.zip"
    summary = prepare(source, tmp_path / "out", size=32, strict=True, screen=QUIET)
    assert summary.count == 3
    assert summary.rejected == {"not a picture": 6, "video": 1, "archive": 1, "Git LFS pointer": 1}


def test_strict_minds_pictures_that_are_none(tmp_path):
    source = draw(tmp_path / "photos", 3)
    (source / "a.png").write_bytes(LFS)
    with pytest.raises(FewganError, match="git lfs pull"):
        prepare(source, tmp_path / "out", size=32, strict=True, screen=QUIET)


# Plugins of Pillow ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "form", "module"), [("heic", "HEIF", "pillow_heif"), ("jxl", "JXL", "pillow_jxl")])
def test_a_plugin_that_is_installed_is_imported_when_it_is_needed(monkeypatch, content, form, module):
    """The plugin here reads any file of its kind as a red picture."""
    imported = []

    def opened(file, name=""):
        return Image.new("RGB", (64, 48), "red")

    def register() -> None:
        imported.append(form)
        Image.OPEN[form] = (opened, None)

    stub = types.ModuleType(module)
    stub.register_heif_opener = register  # type: ignore[attr-defined]
    monkeypatch.setitem(Image.OPEN, form, (opened, None))
    monkeypatch.setitem(sys.modules, module, stub)
    decode(written(smooth(64, 64), "PNG"), 32)
    assert imported == []
    assert (decode(io.BytesIO(CONTENTS[content][0]), 32).pixels == (255, 0, 0)).all()
    assert imported == (["HEIF"] if form == "HEIF" else [])


def test_records_of_tensorflow_are_told_by_their_name():
    with pytest.raises(Refused, match=r"TFRecords.*save each picture as a file"):
        kinds.check_head(b"\x10\0\0\0\0\0\0\0\x7f", "faces-r06.tfrecords")


@pytest.mark.parametrize("length", [600, 30_000, 38_000, 40_000, 65_000])
def test_a_jpeg_that_begins_with_a_long_comment_is_a_picture(length):
    comment = (b"prompt: a cat, detailed fur, " * 3000)[:length]
    data = written(smooth(64, 64), "JPEG").getvalue()
    data = data[:2] + b"\xff\xfe" + (length + 2).to_bytes(2, "big") + comment + data[2:]
    assert decode(io.BytesIO(data), 64).pixels.shape == (64, 64, 3)


def test_a_zip_within_another_archive_is_not_that_archive(tmp_path):
    """A tar may end in a zip, and so may what is no archive for fewgan."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("z.png", written(smooth(32, 32), "PNG").getvalue())
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in (("a.png", written(smooth(32, 32), "PNG").getvalue()), ("inner.zip", inner.getvalue())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    (tmp_path / "a.tgz").write_bytes(gzip.compress(plain.getvalue(), 0))
    with gather(tmp_path / "a.tgz") as found:
        assert [photo.name for photo in found.photos] == ["a.png", "inner.zip"]
    (tmp_path / "a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(99) + inner.getvalue())
    with pytest.raises(UsageError, match="is a 7z file"), gather(tmp_path / "a.7z"):
        pass


def test_a_zip_that_unpacks_itself_is_a_zip(tmp_path):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("a.png", "b.png"):
            archive.writestr(name, written(smooth(32, 32), "PNG").getvalue())
    (tmp_path / "photos.exe").write_bytes(b"MZ a program" * 99 + file.getvalue())
    with gather(tmp_path / "photos.exe") as found:
        assert [photo.name for photo in found.photos] == ["a.png", "b.png"]
