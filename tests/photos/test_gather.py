"""Finding photos in folders and archives: what is taken, what is passed over, what is refused and why."""

import io
import os
import socket
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from fewgan.photos import archive
from fewgan.photos.gather import gather, open_photo
from fewgan.photos.kinds import Refused
from fewgan.plugin import UsageError

DATA = b"stands for a photo"


def fill(root: Path, names) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(DATA + name.encode())
    return root


def zipped(path: Path, names, **attributes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.external_attr = attributes.get("mode", stat.S_IFREG | 0o644) << 16
            file.writestr(info, DATA + name.encode())
    return path


def tarred(path: Path, members, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:
        for name in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = DATA + info.name.encode() if info.isreg() else b""
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def taken(source: Path, **options) -> list[str]:
    """The names found, each checked to give its own bytes."""
    with gather(source, **options) as found:
        for photo in found.photos:
            with open_photo(found.read(photo)) as file:
                assert file.read().startswith(DATA)
        return [photo.name for photo in found.photos]


def refused(source: Path, **options) -> dict[str, str]:
    with gather(source, **options) as found:
        return {refusal.name: refusal.kind for refusal in found.refused}


def only_refused(source: Path) -> str:
    """The message for a place where nothing else is."""
    with pytest.raises(UsageError, match="No pictures") as caught, gather(source):
        pass
    return str(caught.value)


NAMES = ["b.jpg", "a.jpg", "sub/deeper/c.png", "sub/a.jpg", "Zoë\n.jpg", "x" * 240 + ".jpg"]
JUNK = [".hidden.jpg", ".git/a.jpg", "__MACOSX/a.jpg", "sub/Thumbs.db", "desktop.ini", "sub/.DS_Store", "@eaDir/a.jpg"]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_all_levels_in_name_order_without_junk(tmp_path, kind):
    if kind == "folder":
        source = fill(tmp_path / "photos", NAMES + JUNK)
    elif kind == "zip":
        source = zipped(tmp_path / "photos.zip", NAMES + JUNK + ["sub/"])
    else:
        source = tarred(tmp_path / "photos", NAMES + JUNK, f"w:{kind[4:]}")
    assert taken(source, spool=tmp_path) == sorted(NAMES)
    assert refused(source) == {}
    assert {path.name for path in tmp_path.iterdir()} <= {"photos", "photos.zip"}


def test_an_earlier_dataset_and_the_skipped_folder_are_no_photos(tmp_path):
    fill(tmp_path, ["a.jpg", "ds/preview.png", "ds/dataset.json", "ds/images.safetensors", "out/b.jpg"])
    assert taken(tmp_path, skip=tmp_path / "out") == ["a.jpg"]
    with pytest.raises(UsageError, match="is a dataset already"):
        taken(tmp_path / "ds")


def test_links_are_followed_to_files_inside_only(tmp_path):
    root = fill(tmp_path / "photos", ["a.jpg", "sub/b.jpg"])
    fill(tmp_path, ["secret.jpg", "photos-of-others/c.jpg"])
    (root / "inside.jpg").symlink_to("sub/b.jpg")
    (root / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "up.jpg").symlink_to("../secret.jpg")
    (root / "neighbour.jpg").symlink_to("../photos-of-others/c.jpg")
    (root / "loop").symlink_to(".")
    (root / "sub" / "loop").symlink_to(root)
    (root / "self.jpg").symlink_to("self.jpg")
    (root / "nowhere.jpg").symlink_to("gone.jpg")
    (root / "others").symlink_to("../photos-of-others")
    with gather(root) as found:
        assert [photo.name for photo in found.photos] == ["a.jpg", "inside.jpg", "sub/b.jpg"]
        reasons = {refusal.name: refusal.reason for refusal in found.refused}
    assert set(reasons) == {
        *("out.jpg", "up.jpg", "neighbour.jpg", "others", "loop", "sub/loop", "self.jpg", "nowhere.jpg")
    }
    assert all("leads out of" in reasons[name] for name in ("out.jpg", "up.jpg", "neighbour.jpg", "others"))


def test_the_folder_itself_may_be_a_link(tmp_path):
    fill(tmp_path / "photos", ["a.jpg"])
    (tmp_path / "link").symlink_to("photos")
    assert taken(tmp_path / "link") == ["a.jpg"]


def test_pipes_and_sockets_are_never_opened(tmp_path, monkeypatch):
    fill(tmp_path, ["a.jpg"])
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to("pipe.jpg")
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        assert taken(tmp_path) == ["a.jpg"]
        kinds = refused(tmp_path)
    assert kinds == {"pipe.jpg": "not a file", "link.jpg": "not a file", "socket.jpg": "not a file"}
    with pytest.raises(UsageError, match="pipe or device"):
        taken(tmp_path / "pipe.jpg")
    with pytest.raises(UsageError, match="pipe or device"):
        taken(Path("/dev/zero"))


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(Refused, match="never opened"):
        open_photo(tmp_path / "a.jpg")


OUTSIDE = ["/etc/a.jpg", "../a.jpg", "sub/../../a.jpg", "..\\b.jpg", "C:\\a.jpg"]


def test_archive_members_outside_the_root_are_refused(tmp_path):
    for source in (zipped(tmp_path / "a.zip", [*OUTSIDE, "ok.jpg"]), tarred(tmp_path / "a.tar", [*OUTSIDE, "ok.jpg"])):
        assert taken(source) == ["ok.jpg"]
        kinds = refused(source)
        assert len(kinds) == len(OUTSIDE)
        assert set(kinds.values()) == {"outside the archive"}


def test_windows_separators_and_dots_in_archives(tmp_path):
    assert taken(zipped(tmp_path / "a.zip", ["cats\\1.jpg", "./dogs/2.jpg"])) == ["cats/1.jpg", "dogs/2.jpg"]


def test_links_and_devices_in_archives_are_refused(tmp_path):
    special = []
    for number, kind in enumerate(
        [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
    ):
        info = tarfile.TarInfo(f"{number}.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        special.append(info)
    source = tarred(tmp_path / "a.tar", [*special, "ok.jpg"])
    assert taken(source) == ["ok.jpg"]
    assert list(refused(source).values()) == ["link", "link", "not a file", "not a file", "not a file"]
    assert "l.jpg: link: " in only_refused(zipped(tmp_path / "l.zip", ["l.jpg"], mode=stat.S_IFLNK | 0o777))
    assert "p.jpg: not a file: " in only_refused(zipped(tmp_path / "p.zip", ["p.jpg"], mode=stat.S_IFIFO | 0o666))


def test_members_too_large_or_encrypted_are_refused_unread(tmp_path, monkeypatch):
    source = zipped(tmp_path / "a.zip", ["b", "aa.jpg", "film.mp4", "inner.zip", "notes"])
    monkeypatch.setattr(archive, "MEMBER_BYTES", len(DATA) + 1)
    assert refused(source) == {
        **{"aa.jpg": "too large", "film.mp4": "video", "inner.zip": "archive", "notes": "not a picture"}
    }
    data = bytearray(source.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    source.write_bytes(data)
    monkeypatch.undo()
    assert refused(source) == {"b": "encrypted"}


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path):
    source = zipped(tmp_path / "a.zip", ["a.jpg"])
    data = bytearray(source.read_bytes())
    data[data.index(DATA)] ^= 1  # its checksum is wrong now
    source.write_bytes(data)
    with gather(source) as found, pytest.raises(Refused, match="unreadable"):
        found.read(found.photos[0])


def test_the_later_of_two_members_of_one_name_counts(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.jpg", b"old")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a.jpg", b"new")
    with gather(tmp_path / "a.zip") as found:
        assert [found.read(photo) for photo in found.photos] == [b"new"]


@pytest.mark.parametrize("form", ["gz", "bz2", "xz"])
def test_packed_tars_cut_short_or_far_too_large_are_one_error(tmp_path, form, monkeypatch):
    source = tarred(tmp_path / "a.tar", [f"{number}.jpg" for number in range(50)], f"w:{form}")
    monkeypatch.setattr(
        archive, "_unpack", lambda packed, plain, limit, name, real=archive._unpack: real(packed, plain, 99, name)
    )
    with pytest.raises(UsageError, match="unpacks to more than"):
        taken(source)
    monkeypatch.undo()
    source.write_bytes(source.read_bytes()[:-40])
    with pytest.raises(UsageError, match="damaged or cut short"):
        taken(source)


def test_a_zip_cut_short_is_told_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.jpg", b"x" * 1000)
    whole = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"a\.zip is damaged or cut short: download or pack it again"):
        taken(tmp_path / "a.zip")


@pytest.mark.parametrize("change", [(b"\xc3\xa9.jpg", b"\xff\xfe.jpg"), (b"PK\x01\x02\x14", b"PK\x01\x02\x46")])
def test_a_zip_that_python_cannot_read_is_told_so(tmp_path, change):
    """A name that is not the UTF-8 that it says it is, though the flag is set; a part of a later version of zip."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("\u00e9.jpg", b"content")
    whole = (tmp_path / "a.zip").read_bytes().replace(*change)
    if change[0].startswith(b"PK"):
        place = whole.index(b"PK\x01\x02") + 6  # version needed to extract
        whole = whole[:place] + b"\x46\x00" + whole[place + 2 :]
    (tmp_path / "a.zip").write_bytes(whole)
    with pytest.raises(UsageError, match=r"a\.zip: Python cannot read this zip .*unpack it, give the folder"):
        taken(tmp_path / "a.zip")


def test_a_tar_whose_headers_run_in_a_circle_ends(tmp_path):
    source = tarred(tmp_path / "a.tar", ["a.jpg", "b.jpg"])
    data = bytearray(source.read_bytes())
    data[1024 + 124 : 1024 + 136] = b"\xff" * 10 + (65536 - 1024).to_bytes(2, "big")  # b.jpg has −1024 bytes
    data[1024 + 148 : 1024 + 156] = b" " * 8
    data[1024 + 148 : 1024 + 156] = b"%06o\0 " % sum(data[1024:1536])
    source.write_bytes(data)
    with pytest.raises(UsageError, match="damaged"):
        taken(source)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"PK\x03\x04 and no more", b"\xff\xd8\xff\xe0" + bytes(600), b"\x1f\x8bxx"]
)
def test_other_files_are_no_photos(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(UsageError):
        taken(tmp_path / "a")


def test_nothing_there(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        taken(tmp_path / "gone")


def test_errors_of_the_reader_are_not_taken_for_the_sources(tmp_path):
    fill(tmp_path, ["a.jpg"])
    with pytest.raises(FileNotFoundError), gather(tmp_path):
        raise FileNotFoundError("something else")


def test_only_links_are_told_as_links(tmp_path):
    fill(tmp_path / "real", ["a.jpg"])
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.jpg").symlink_to(tmp_path / "real" / "a.jpg")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").symlink_to(tmp_path / "real")
    for name in ("files", "folder"):
        assert "link: it leads out of the folder; copy" in only_refused(tmp_path / name)


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_any_bytes_in_a_path(tmp_path):
    names = [b"\xff\xfe.jpg", "写".encode() * 60 + b".jpg", b"a\nb.jpg", b"\x1b]0;x\x07.jpg", b"sub\x80/\xe9.jpg"]
    for name in names:
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xc3/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(DATA)
    assert sorted(map(os.fsencode, taken(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xc3"))))) == sorted(names)
