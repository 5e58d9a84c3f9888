"""The pictures of a run as WebP in data URIs, within a number of bytes."""

from __future__ import annotations

import base64
import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from fewgan.commands.report.files import Folder

BYTES = 3_000_000  # of all pictures of a page, before base64 makes them a third longer
FRAMES = 60  # samples over the steps
FRAME = 90_000  # bytes of one, where there is room
LARGEST_FILE = 64 << 20  # bytes
LARGEST = 40_000_000  # pixels
SIDE = 1400  # pixels, more is reduced
QUALITIES = (84, 66, 48)
STEP = re.compile(r"\d{1,12}\.png", re.ASCII)

_made: dict[tuple[Any, ...], Picture] = {}


@dataclass(frozen=True)
class Picture:
    uri: str
    width: int
    height: int
    step: int | None = None


def samples(folder: Folder, room: int) -> list[Picture]:
    """The grids of samples/ by step, the first and the last always, in at most `room` bytes."""
    found = sorted((int(name[:-4]), name) for name in folder.names("samples") if STEP.fullmatch(name))
    if len(found) > FRAMES:
        folder.note(f"samples: {FRAMES} of {len(found):,} grids are shown")
        found = [found[round(index * (len(found) - 1) / (FRAMES - 1))] for index in range(FRAMES)]
    each = min(FRAME, room // max(len(found), 1))
    made = [(step, picture(folder, f"samples/{name}", each)) for step, name in found]
    return [Picture(one.uri, one.width, one.height, step) for step, one in made if one is not None]


def picture(folder: Folder, name: str, room: int) -> Picture | None:
    """A PNG of the run in at most `room` bytes of WebP; None where it is missing, damaged or too large."""
    path = folder.file(name)
    if path is None:
        return None
    try:
        facts = path.stat()
        key = (str(path), facts.st_mtime_ns, facts.st_size, room)
        if key not in _made:
            if len(_made) > 4 * FRAMES:
                _made.clear()
            _made[key] = _webp(path, room)
        return _made[key]
    except ValueError as error:
        folder.note(f"{name}: {error}; left out")
    except Image.DecompressionBombError:
        folder.note(f"{name}: too large a picture; left out")
    except (OSError, SyntaxError):
        folder.note(f"{name}: damaged; left out")
    return None


def _webp(path: Path, room: int) -> Picture:
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"larger than {LARGEST_FILE >> 20} MB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=["PNG"]) as opened:
            if opened.width * opened.height > LARGEST:
                raise ValueError(f"too large a picture, {opened.width} x {opened.height} px")
            image = opened.convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    while True:
        for quality in QUALITIES:
            file = io.BytesIO()
            image.save(file, "WEBP", quality=quality, method=3)
            if file.tell() <= room or max(image.size) < 64:
                uri = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
                return Picture(uri, image.width, image.height)
        scale = min(0.9, (room / file.tell()) ** 0.5)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS)
