"""What a file is, by its first bytes and its name, and what to do about it where it is not a photo that can be read."""

from __future__ import annotations

import importlib
import logging
import os

logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what it says of a damaged photo is told as the reason

HEAD = 512
"""Bytes of a file that tell its kind."""

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".avif", ".avifs", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    *(".heic", ".heif", ".hif", ".jxl"),
)
# Pillow opens some of these all the same, as the thumbnail in front of the photo.
_RAW = (
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".rw2", ".orf", ".raf", ".pef", ".srw"),
    *(".raw", ".rwl", ".3fr", ".x3f", ".mrw", ".erf", ".iiq"),
)
_OTHER = {
    ".psd": "a Photoshop document", ".xcf": "a GIMP document", ".svg": "an SVG drawing", ".tga": "a Targa picture",
    ".pcx": "a PCX picture", ".sgi": "an SGI picture", ".dds": "a DirectDraw surface", ".exr": "an OpenEXR picture",
    ".hdr": "a Radiance picture",
}  # fmt: skip

NO_PHOTO = ("not a picture", "archive", "video", "Git LFS pointer")
"""Kinds of files that may lie beside photos: unless their name is a picture's, they are nobody's mistake."""

_EXPORT = "export it as JPEG or PNG"
_UNPACK = "unpack it first"
_RAW_WHAT = ("unsupported", "a RAW photo of a camera", _EXPORT)
_FRAMES = "extract frames as PNG or JPEG"
_AGAIN = "download or copy it again"
_EACH = "save each picture as a file"

# (start of the file, kind, what it is, what to do). The kind "" is that of a file that is no picture.
_STARTS: tuple[tuple[bytes, str, str, str], ...] = (
    (b"version https://git-lfs.github.com/spec/", "Git LFS pointer", "the photo is not downloaded", "run git lfs pull"),
    (b"version https://hawser.github.com/spec/", "Git LFS pointer", "the photo is not downloaded", "run git lfs pull"),
    (b"/annex/objects/", "Git LFS pointer", "the photo is in git-annex, not here", "run git annex get"),
    (b"PK\x03\x04", "archive", "a zip file", _UNPACK),
    (b"PK\x05\x06", "archive", "an empty zip file", _UNPACK),
    (b"Rar!\x1a\x07", "archive", "a RAR file", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "archive", "a 7z file", _UNPACK),
    (b"\x1f\x8b", "archive", "a gzip file", _UNPACK),
    (b"BZh", "archive", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ\x00", "archive", "an xz file", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "archive", "a Zstandard file", _UNPACK),
    (b"II*\x00\x10\x00\x00\x00CR", *_RAW_WHAT),
    (b"IIU\x00", *_RAW_WHAT),
    (b"IIRO", *_RAW_WHAT),
    (b"IIRS", *_RAW_WHAT),
    (b"MMOR", *_RAW_WHAT),
    (b"FUJIFILMCCD-RAW", *_RAW_WHAT),
    (b"FOVb", *_RAW_WHAT),
    (b"\x00MRM", *_RAW_WHAT),
    (b"8BPS", "unsupported", "a Photoshop document", _EXPORT),
    (b"%PDF", "unsupported", "a PDF document", _EXPORT),
    (b"%!PS", "unsupported", "a PostScript document", _EXPORT),
    (b"\x1aE\xdf\xa3", "video", "a Matroska or WebM video", _FRAMES),
    (b"FLV\x01", "video", "a Flash video", _FRAMES),
    (b"\x00\x00\x01\xba", "video", "an MPEG video", _FRAMES),
    (b"\x00\x00\x01\xb3", "video", "an MPEG video", _FRAMES),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video", "a Windows Media video", _FRAMES),
    (b"OggS", "", "an Ogg file", ""),
    (b"ID3", "", "a sound file", ""),
    (b"fLaC", "", "a sound file", ""),
    (b"\x93NUMPY", "", "a NumPy array", _EACH),
    (b"\x89HDF\r\n\x1a\n", "", "an HDF5 file", _EACH),
    (b"PAR1", "", "a Parquet table", _EACH),
    (b"ARROW1", "", "an Arrow table", _EACH),
    (b"\x0a\x23\xd7\xce", "", "an MXNet RecordIO file", _EACH),
    (b"\x00\x00\x08\x01", "", "labels of MNIST", ""),
    (b"\x00\x00\x08\x03", "", "pictures of MNIST in one file", _EACH),
    (b"\x00\x00\x01\x00", "unsupported", "a Windows icon", _EXPORT),
    (b"II\xbc", "unsupported", "a JPEG XR picture", _EXPORT),
    (b"SQLite format 3\x00", "", "an SQLite database", ""),
    (b"SIMPLE  =", "unsupported", "a FITS file", _EXPORT),
    (b"\x80\x02", "", "a Python pickle (weights or a whole module)", ""),
    (b"\x80\x03", "", "a Python pickle (weights or a whole module)", ""),
    (b"\x80\x04", "", "a Python pickle (weights or a whole module)", ""),
    (b"\x80\x05", "", "a Python pickle (weights or a whole module)", ""),
    (b"\x7fELF", "", "a program", ""),
    (b"\x00\x05\x16\x07", "", "metadata of macOS (AppleDouble)", ""),
    (b"book\x00\x00\x00\x00mark", "", "a macOS alias", "give the folder it leads to"),
    (b"L\x00\x00\x00\x01\x14\x02\x00", "", "a Windows shortcut", "give the folder it leads to"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "", "a document of older Microsoft Office or Windows", ""),
)
NOTHING = ("", "", "")
_PACKED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
_FILMS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".wmv")
_WEIGHTS = (".pt", ".pth", ".bin", ".pkl", ".ckpt", ".pickle")
_RECORDS = (".tfrecord", ".tfrecords")
_OFFICE = (".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".npz", ".jar", ".apk", ".epub")
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")


class Refused(Exception):
    """A file that does not become a photo. kind: a few words to count by; what: more about it; reason: both."""

    def __init__(self, kind: str, what: str = "") -> None:
        super().__init__(kind, what)
        self.kind, self.what = kind, what
        self.reason = f"{kind}: {what}" if what else kind


def pictured(name: str) -> bool:
    """Whether the name says that the file is a picture, readable here or not."""
    extension = os.path.splitext(name)[1].lower()
    return extension in EXTENSIONS or extension in _RAW or extension in _OTHER


def is_fault(name: str, kind: str) -> bool:
    """Whether a file that was left out was meant to be a photo, as far as name and kind tell."""
    return kind not in NO_PHOTO or (kind != "not a picture" and pictured(name))


def check_name(name: str) -> None:
    """Raises Refused for kinds of photos that the name alone tells: Pillow would take their thumbnails for them."""
    extension = os.path.splitext(name)[1].lower()
    if extension in _RAW:
        raise Refused("unsupported", f"a RAW photo of a camera ({extension}); {_EXPORT}")
    if extension in _OTHER:
        raise Refused("unsupported", f"{_OTHER[extension]}; {_EXPORT}")


def check_head(head: bytes, name: str = "") -> None:
    """Raises Refused where the first HEAD bytes show something other than a picture that Pillow may read."""
    if not head:
        raise Refused("unreadable", f"an empty file; {_AGAIN}")
    kind, what, advice = _known(head, os.path.splitext(name)[1].lower())
    if what:
        kind = kind or ("unreadable" if pictured(name) or not name else "not a picture")
        raise Refused(kind, what + (f"; {advice}" if advice else ""))


def too_large(name: str, limit: str) -> Refused:
    """Why a file is left out unread that is larger than `limit`."""
    extension = os.path.splitext(name)[1].lower()
    if extension in _PACKED:
        return Refused("archive", _UNPACK)
    if extension in _FILMS:
        return Refused("video", _FRAMES)
    return Refused("too large", limit) if pictured(name) else Refused("not a picture")


def _known(head: bytes, extension: str) -> tuple[str, str, str]:
    """(kind, what it is, what to do); three empty texts where nothing is known."""
    found = NOTHING
    if head.startswith(b"PK\x03\x04") and extension in _WEIGHTS:
        found = ("", "a PyTorch file (weights or a whole module)", "")
    elif head.startswith(b"PK\x03\x04") and extension in _OFFICE:
        found = ("", f"a {extension} file", "")
    elif head[4:8] == b"ftyp":
        found = _of_boxes(head)
    elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        found = ("video", "an AVI video", _FRAMES)
    elif head[257:262] == b"ustar":
        found = ("archive", "a tar file", _UNPACK)
    elif extension in _RECORDS or extension.startswith(".tfrecord-"):
        found = ("", "TFRecords of TensorFlow", _EACH)
    elif head[16:20] == b"\xde\xc0\xef\xbe":
        found = ("", "an LMDB database", _EACH)
    elif head[128:132] == b"DICM":
        found = ("unsupported", "a DICOM file", _EXPORT)
    elif head and not head.strip(b"\0"):
        found = ("", "nothing but zero bytes", _AGAIN)
    else:
        start = next((start for start in _STARTS if head.startswith(start[0])), None)
        # A picture may begin with a long comment.
        found = start[1:] if start else NOTHING if is_picture(head) else _of_text(head)
    return found


def _of_boxes(head: bytes) -> tuple[str, str, str]:
    """Files of the ISO base media format: HEIC, CR3 and videos. AVIF is left to Pillow."""
    length = int.from_bytes(head[:4], "big")
    brand, brands = head[8:12], head[8 : max(12, min(length, len(head)))]
    if any(avif in brands for avif in _AVIF) or brand in _HEIF:
        return NOTHING
    if brand == b"crx ":
        return _RAW_WHAT
    return "video", "an MP4 or QuickTime video", _FRAMES


def _of_text(head: bytes) -> tuple[str, str, str]:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<script")):
        return "", "a web page (HTML), not a picture", "download the picture itself"
    if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in start):
        return "unsupported", "an SVG drawing", _EXPORT
    if start.startswith((b"{", b"[")) and b"\0" not in head:
        return "", "a JSON file", ""
    if start and b"\0" not in head and not start.startswith((b"p1", b"p2", b"p3", b"p4", b"p5", b"p6", b"p7", b"pf")):
        try:
            text = head.decode("utf-8")
        except UnicodeDecodeError as error:
            if len(head) < HEAD or error.start < len(head) - 3:  # the head may end within a letter
                return NOTHING
            text = head[: error.start].decode("utf-8")
        if all(letter.isprintable() or letter.isspace() for letter in text):
            return "", "a text file", ""
    return NOTHING


def plugin_for(head: bytes) -> tuple[str, str] | None:
    """(Pillow's name of the format, package that reads it) for pictures that Pillow alone cannot read, else None."""
    if head.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n")):
        return "JXL", "pillow-jxl-plugin"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF and not any(avif in head[8:40] for avif in _AVIF):
        return "HEIF", "pillow-heif"
    return None


def is_picture(head: bytes) -> bool:
    """Whether a file begins as the pictures do whose names may lack an ending."""
    known = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\x00", b"MM\x00*", b"\x00\x00\x00\x0cjP  ")
    return (
        head.startswith(known)
        or (head[:2] == b"BM" and head[6:10] == bytes(4))
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in _AVIF)
        or plugin_for(head) is not None
    )


def register(form: str, package: str) -> None:
    """Has Pillow read a format by its plugin. Raises Refused, with the name of the package, where it is missing."""
    try:
        if form == "HEIF":
            importlib.import_module("pillow_heif").register_heif_opener()
        else:
            importlib.import_module("pillow_jxl")
    except Exception:  # not installed, or broken: whatever it raises, the photo cannot be read
        what = "a HEIC photo" if form == "HEIF" else "a JPEG XL photo"
        advice = f"install the package {package}, or convert it to JPEG or PNG"
        raise Refused("unsupported", f"{what}; {advice}") from None
