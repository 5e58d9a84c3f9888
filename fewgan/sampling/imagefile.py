"""Pictures as files: grids, animations, the facts written into each file, and how a folder takes them."""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from fewgan import signatures
from fewgan.errors import UsageError
from fewgan.files import replacing

SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "gif": ".gif", "mp4": ".mp4"}
KINDS = {**{suffix: kind for kind, suffix in SUFFIXES.items()}, ".jpeg": "jpeg"}
LARGEST_SIDE = 16_383  # WebP's limit, and as much as a viewer takes
FRAME_MILLISECONDS = 40  # GIF counts in hundredths of a second
DESCRIPTION = 0x010E  # EXIF ImageDescription


def to_float(images: Tensor) -> Tensor:
    """uint8 [...] -> float32 in [−1, 1], as the networks see pictures."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """float [..., H, W] in [−1, 1] -> uint8: x · 127.5 + 128, clamped to 0 … 255 and truncated."""
    return images.float().mul(127.5).add_(128).clamp_(0, 255).to(torch.uint8)


def shaped(images: Tensor, config: Mapping[str, Any]) -> Tensor:
    """uint8 [N, 3, S, S] -> uint8 [N, 3, H, W] of the shape that the photos had.

    config: a run's; its `crop` and `aspect` (width by height) say how the squares were made. "stretch" is undone by
    making the longer side longer, "fit" by cutting away the padding; anything else stays as it is.
    """
    side, aspect = images.shape[-1], config.get("aspect", 1.0)
    if config.get("crop") not in ("fit", "stretch") or not isinstance(aspect, float) or not 1 / 64 <= aspect <= 64:
        return images
    if config["crop"] == "stretch":
        size = (side, round(side * aspect)) if aspect >= 1 else (round(side / aspect), side)
        made = interpolate(images.float(), size=size, mode="bicubic", antialias=True)
        return made.round_().clamp_(0, 255).to(torch.uint8)
    height, width = max(1, round(side / max(aspect, 1))), max(1, round(side * min(aspect, 1)))
    top, left = (side - height) // 2, (side - width) // 2
    return images[..., top : top + height, left : left + width]


def picture(image: Tensor) -> Image.Image:
    """uint8 [3, H, W] -> an RGB picture."""
    return Image.fromarray(image.permute(1, 2, 0).cpu().numpy())


def grid(images: Tensor, columns: int | None = None) -> Image.Image:
    """uint8 [n, 3, H, W] -> one RGB picture, row by row on white; columns None: as square as it gets.

    Raises UsageError where a side would pass 16,383 px.
    """
    count, (height, width) = len(images), images.shape[-2:]
    check_grid(count, max(height, width), columns)
    columns, gap = min(columns or square(count), count), _gap(max(height, width))
    size = columns * (width + gap) + gap, math.ceil(count / columns) * (height + gap) + gap
    # Pasted by Pillow: torchvision's make_grid would double the seconds that `fewgan sample` takes to start.
    made = Image.new("RGB", size, "white")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        made.paste(picture(image), (gap + column * (width + gap), gap + row * (height + gap)))
    return made


def check_grid(count: int, side: int, columns: int | None = None) -> None:
    """Raises UsageError for a grid that no viewer would open."""
    columns = columns or square(count)
    largest = max(columns, math.ceil(count / columns)) * (side + _gap(side)) + _gap(side)
    if largest > LARGEST_SIDE:
        raise UsageError(f"a grid of {count} pictures of {side} px would be {largest} px long; take fewer with --count")


def square(count: int) -> int:
    """The columns of a grid that is as square as it gets."""
    return math.ceil(math.sqrt(count))


def _gap(side: int) -> int:
    return max(2, side // 32)


def save_picture(path: Path, image: Image.Image, kind: str, facts: Mapping[str, Any]) -> None:
    """Writes PNG or JPEG (quality 95, full colour resolution); `facts` go into the file's comment."""
    if kind == "png":
        _replace(path, image, "PNG", pnginfo=signatures.of_png(facts))
    else:
        _replace(path, image, "JPEG", quality=95, subsampling=0, comment=signatures.own(facts))


def save_sheet(path: Path, image: Image.Image, **facts: Any) -> None:
    """Writes a PNG that shows several pictures, which is no sample."""
    with replacing(path) as temporary:
        image.save(temporary, "PNG", pnginfo=signatures.sheet(**facts))


def _replace(path: Path, image: Image.Image, kind: str, **options: Any) -> None:
    with replacing(path, durable=False) as temporary:
        image.save(temporary, kind, **options)


def facts_of(source: Path | IO[bytes]) -> dict[str, Any] | None:
    """The facts that fewgan wrote into this picture or animation; None for a file of another origin."""
    try:
        movie = isinstance(source, Path) and source.suffix.lower() == SUFFIXES["mp4"]
        text = _comment_of_mp4(source) if movie else _comment(source)  # type: ignore[arg-type]  # a movie is a Path
        if not text.startswith(signatures.OWN):
            return None
        facts = json.JSONDecoder().raw_decode(text.removeprefix(signatures.OWN))[0]
    except Exception:  # damaged EXIF beside a sound picture, among others
        return None
    return facts if isinstance(facts, dict) else None


def _comment(source: Path | IO[bytes]) -> str:
    with warnings.catch_warnings(action="ignore"), Image.open(source) as image:  # of what is no picture of fewgan's
        found = image.info.get("Comment") or image.info.get("comment") or image.getexif().get(DESCRIPTION)
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)


def _comment_of_mp4(path: Path) -> str:
    """The text of its comment, and what follows it. The index of an MP4 that fewgan wrote stands before the frames."""
    with open(path, "rb") as file:
        head = file.read(1 << 20)
    _, mark, rest = head.partition(b"\xa9cmt")  # then an atom: length, "data", type, locale
    return rest[16 : 1 << 16].decode("utf-8", "replace") if mark else ""


def step_in(folder: Path) -> int | None:
    """The step of the run that the pictures in a folder were made at; None without such pictures."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    facts = next(filter(None, (facts_of(path) for path in paths if path.suffix in SUFFIXES.values())), {})
    step = facts.get("step")
    return step if isinstance(step, int) else None


def refuse_to_overwrite(folder: Path, names: Collection[str], facts: Mapping[str, Any]) -> None:
    """Raises UsageError if one of these files exists and was not made by fewgan, or was made from something else.

    facts: `run` and `latents_hash` of the pictures to be written. One that is None, or that a file lacks, tells
    nothing.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file; give a folder with --out")
    for name in names:
        if not (folder / name).exists():
            continue
        found = facts_of(folder / name)
        whose = "not made by fewgan" if found is None else "not a sample" if found.get("sheet") else ""
        for fact, words in (("run", "another generator of this name"), ("latents_hash", "other latents")):
            if found and facts.get(fact) is not None and found.get(fact, facts[fact]) != facts[fact]:
                whose = f"made from {words}"
        if whose:
            raise UsageError(f"{folder / name}: {whose} and would be overwritten; give another place with --out")


def left_over(folder: Path, names: Collection[str]) -> list[str]:
    """Numbered pictures in the folder beside `names`, sorted: an earlier command's."""
    kept = set(names)
    found = (path.name for path in folder.iterdir() if re.fullmatch(r"\d{6,}\.(png|jpg)", path.name))
    return sorted(name for name in found if name not in kept)
