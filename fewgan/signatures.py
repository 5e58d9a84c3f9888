"""What a file is by its first bytes, where it is not what it was taken for; the sign in pictures of fewgan's own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

FORMAT = 1
OWN = "fewgan "
"""How the comment in a picture that fewgan made starts; JSON follows, with the `index` of a single sample."""

SAFETENSORS, JSON = "a safetensors file", "a JSON file"
_KNOWN = (
    (rb"\x1f\x8b", "a gzip file; unpack it first"),
    (rb"BZh", "a bzip2 file; unpack it first"),
    (rb"\xfd7zXZ\x00", "an xz file; unpack it first"),
    (rb"\x28\xb5\x2f\xfd", "a zstd file; unpack it first"),
    (rb"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (rb"Rar!", "a RAR archive; unpack it first"),
    (rb"PK[\x03\x05][\x04\x06]", "a zip archive, as torch.save writes it; its name must end in .pth, or unpack it"),
    (rb"(?s:.{257})ustar", "a tar archive; unpack it first"),
    (rb"(?s:.{8})\{\s*\"", "a safetensors file; its name must end in .safetensors"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself; get that with `git lfs pull`"),
    (
        rb"(?i:\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|\?xml))",
        "a web page, not the file that was to be downloaded",
    ),
    (rb"\x80[\x02-\x05]", "a Python pickle; its name must end in .pth or .pkl"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF(?s:....)WEBP|(?s:....)ftyp", "a picture or film, not a checkpoint"),
    (rb"\x89HDF", "an HDF5 file, as Keras writes it, not a checkpoint of PyTorch"),
    (rb"\x93NUMPY", "a NumPy array, not a checkpoint"),
    (rb"(?s:.{4})TFL3", "a TensorFlow Lite model, not a checkpoint of PyTorch"),
    (rb"\x08[\x01-\x14]\x12(?s:.)[\w.-]*(?:onnx|pytorch)", "an ONNX model, not a checkpoint of PyTorch"),
    (rb"GGUF", "a GGUF file, not a checkpoint of PyTorch"),
    (rb"%PDF", "a PDF document, not a checkpoint"),
    (rb"\s*[\[{]\s*[\"\]}\[{]", "a JSON file, not a checkpoint"),
)


def known(head: bytes) -> str | None:
    """What a file is that begins with these bytes, 512 or all of them, and what to do; None where that is not known."""
    if not head:
        return "an empty file, damaged or not copied whole"
    return next((what for pattern, what in _KNOWN if re.match(pattern, head)), None)


def instead(path: Path, of: str) -> str | None:
    """What a file is that is not what `of` says; None where that is not known, or where it may well be that."""
    try:
        with open(path, "rb") as file:
            what = known(file.read(512))
    except OSError:
        return None
    if what is None or what.startswith(of) or (of == JSON and what.startswith(SAFETENSORS)):
        return None  # JSON may look like the header of safetensors
    return what.partition("; its name")[0] if of == JSON else what


def own(facts: Mapping[str, Any]) -> str:
    """The comment of a picture that fewgan makes."""
    return OWN + json.dumps({"format": FORMAT, **facts})


def of_png(facts: Mapping[str, Any]) -> PngInfo:
    """`own` for Pillow's `pnginfo`."""
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Comment", own(facts))
    return text


def sheet(**facts: Any) -> PngInfo:
    """For Pillow's `pnginfo`: the sign of a PNG with several pictures or curves, by which `prepare` passes it over."""
    return of_png({"sheet": True, **facts})
