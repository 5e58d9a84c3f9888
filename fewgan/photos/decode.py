"""One photo file → one square of 8-bit sRGB, whatever the file holds.

Colour: ICC profiles are brought to sRGB, alpha is laid over white, 16-bit values are divided by 257 (or by what
brings a smaller range to 255, see `white`). Geometry: EXIF orientation is applied, the picture is cropped or padded to
a square and resampled with Lanczos. Of an animation the first frame is taken. JPEGs are decoded at the smallest scale
that still has twice the wanted side, which is several times faster for camera photos and differs from full decoding by
a fraction of a grey level.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from fewgan.photos import kinds, pngs
from fewgan.photos.kinds import Refused

CROPS = ("center", "fit", "stretch")
WHITE = 65535
PIXELS = 256_000_000
"""Pictures that declare more pixels are refused unread: no camera makes them, decompression bombs do."""

# What Pillow reads safely among the formats of photos; the rest (PostScript, fonts, scientific files) is never tried.
# Multi-picture files of phones (MPO) come in with JPEG.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
_DNG_VERSION = 50706  # a TIFF tag
_PHOTOMETRIC = 262  # another; 0 where 0 is white, which Pillow heeds up to 8 bits
_SRGB = ImageCms.createProfile("sRGB")
_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}
Span = tuple[int, int, int]
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Decoded:
    """pixels: uint8 [S, S, 3], sRGB. enlarged: the picture had fewer pixels than S a side.

    span: lowest and highest value of a picture of 16 bits a channel, and the one that 99.5 % do not pass, for a few hot
    pixels or a scale bar say nothing of the rest; else None. colour: it has colours, of which Pillow reads the upper 8
    bits alone. transparent: the square is nothing but transparent pixels. aspect: width by height of the whole picture,
    as displayed.
    """

    pixels: NDArray[np.uint8]
    enlarged: bool
    span: Span | None = None
    colour: bool = False
    transparent: bool = False
    aspect: float = 1.0


def decode(
    file: BinaryIO, size: int, crop: str = "center", white: int = WHITE, aspect: float | None = None, *, name: str = ""
) -> Decoded:
    """The picture in `file` as a square of `size` pixels a side.

    crop: "center" takes the largest centred square; "fit" keeps the whole picture and pads its short side with the
    mean colour of the two edges that meet the padding, so that no frame appears that a GAN would learn; "stretch" takes
    the largest centred rectangle of `aspect`, width by height as displayed (None: the picture's own), and squeezes it
    into the square. white: the value of a 16-bit grey picture that becomes 255; 4095 for 12 bits in 16.

    Raises Refused: "unreadable", "truncated", "too small" (its shorter side has less than half of `size`), "too
    large" (more than PIXELS), "unsupported" (numbers without a known range, a format that cannot be read), "archive",
    "video", "Git LFS pointer" (what the file is instead of a picture).
    """
    with picture(file, name) as image:
        width, height = image.size
        if 2 * min(width, height) < size:
            raise Refused("too small", f"{width} x {height}, its shorter side is under {size / 2:g}")
        side = max(width, height) if crop == "fit" else min(width, height)
        scale = _draft(image, side // (2 * size))
        wide = deep(image)
        image.load()
        orientation = _orientation(image)
        flat, span = _flatten(image, white)
        colour = wide and span is None
        if colour:
            colours = np.asarray(flat)
            low, high, most = _span(colours[..., :3] if colours.ndim == 3 else colours)
            span = low * 257, high * 257, most * 257
        turned = orientation >= 5  # the stored width is the displayed height
        displayed = height / width if turned else width / height
        if crop != "fit":
            wanted = 1.0 if crop == "center" else aspect or displayed
            box = _centre(width, height, orientation, 1 / wanted if turned else wanted)
            shape = (size, size)
        else:
            box = (0, 0, width, height)
            shape = (max(1, round(width * size / side)), max(1, round(height * size / side)))
        shortest = side if crop == "fit" else round(min(box[2] - box[0], box[3] - box[1]))
        left, top, right, bottom = (edge / scale for edge in box)
        # A reduced JPEG is rounded up to whole pixels; its last one may stick out of the box by a fraction.
        box = (left, top, min(right, flat.width), min(bottom, flat.height))
        small = flat.resize(shape, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
        transparent = small.mode in ("La", "RGBa") and small.getextrema()[-1] == (0, 0)
        square = _srgb(_over_white(small), image.info.get("icc_profile"))
        if orientation in _TURNS:
            square = square.transpose(_TURNS[orientation])
        return Decoded(_pad(np.array(square), size), shortest < size, span, colour, transparent, displayed)


def deep(image: Image.Image) -> bool:
    """Whether a picture that is not read yet has more than 8 bits a channel."""
    return image.mode.startswith("I") or ";16" in repr(getattr(image, "tile", [])[:1])


@contextmanager
def picture(file: BinaryIO, name: str = "") -> Iterator[Image.Image]:
    """The opened picture, its pixels not read yet; whatever goes wrong becomes Refused. name: the file's, if known."""
    limit = Image.MAX_IMAGE_PIXELS
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, which says nothing about the picture, and of sizes, which is our limit.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            Image.MAX_IMAGE_PIXELS = PIXELS
            file.seek(0)
            head = file.read(kinds.HEAD)
            file.seek(0)
            kinds.check_head(head, name)
            plugin = kinds.plugin_for(head)
            if plugin is not None:
                kinds.register(*plugin)
            file, profile = pngs.readable(file)
            with Image.open(file, formats=[plugin[0]] if plugin else _formats()) as image:
                if image.format == "TIFF" and _DNG_VERSION in getattr(image, "tag_v2", {}):
                    raise Refused("unsupported", "a RAW photo of a camera (DNG); export it as JPEG or PNG")
                if profile is not None:
                    image.info["icc_profile"] = profile
                yield image
    except Refused:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        raise Refused("too large", f"more than {PIXELS // 1_000_000} million pixels") from None
    except UnidentifiedImageError:
        raise Refused("unreadable", "not a picture of a known format, or damaged") from None
    except Exception as error:  # a damaged file makes decoders raise anything from KeyError to struct.error
        words = " ".join(str(error).split())
        if isinstance(error, EOFError) or "truncat" in words.lower() or "not enough" in words.lower():
            raise Refused("truncated", "the file ends before the picture does") from None
        raise Refused("unreadable", f"damaged ({words[:80] or type(error).__name__})") from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit


@lru_cache(maxsize=1)
def _formats() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _draft(image: Image.Image, reduction: int) -> float:
    """Asks for 1/2, 1/4 or 1/8 of the size, at most 1/reduction; returns the divisor. Only JPEG (and MPO) agrees."""
    scale = max(s for s in (1, 2, 4, 8) if s <= max(1, reduction))
    width, height = image.size
    agreed = image.draft(None, (width // scale, height // scale)) if scale > 1 else None
    return width / agreed[1][2] if agreed else 1


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF beside a sound picture
        return 1


def _centre(width: int, height: int, orientation: int, aspect: float) -> tuple[float, float, float, float]:
    """The largest centred rectangle of width / height = aspect in the picture as stored.

    An odd pixel is dropped on the right or bottom as displayed.
    """
    wide, tall = min(width, round(height * aspect)), min(height, round(width / aspect))
    left, top = (width - wide) // 2, (height - tall) // 2
    if orientation in (2, 3, 7, 8):  # the stored x axis runs against the displayed one
        left = width - wide - left
    if orientation in (3, 4, 6, 7):
        top = height - tall - top
    return (left, top, left + wide, top + tall)


def aspect_of(file: BinaryIO) -> float:
    """Width by height of the picture as displayed, from its header alone. Raises Refused."""
    with picture(file) as image:
        width, height = image.size
        if image.format == "TIFF":  # its `size` may be the displayed one before the pixels are loaded and turned
            width, height = (getattr(image, "tag_v2", {}).get(tag, side) for tag, side in ((256, width), (257, height)))
        return height / width if _orientation(image) >= 5 else width / height


def _flatten(image: Image.Image, white: int) -> tuple[Image.Image, Span | None]:
    """Any mode → L, RGB, CMYK, LAB, or premultiplied La or RGBa (so that resampling mixes no hidden colours in).

    And the span of a grey picture of 16 bits.
    """
    mode = image.mode
    if mode.startswith("I;16") or mode in ("I", "F"):
        return _grey(image, white)
    return _of_bytes(image), None


def _of_bytes(image: Image.Image) -> Image.Image:
    mode = image.mode
    if image.format in ("BMP", "DIB") and mode == "RGBA" and image.getextrema()[-1] == (0, 0):
        return image.convert("RGB")  # a fourth byte that its program left empty, no alpha
    if mode in ("LA", "La"):
        return image if mode == "La" else image.convert("La")
    if mode in ("RGBA", "RGBa", "PA") or "transparency" in image.info:
        return image if mode == "RGBa" else image.convert("RGBA").convert("RGBa")
    if mode in ("L", "RGB", "CMYK", "LAB"):
        return image
    return image.convert("L" if mode == "1" else "RGB")


def _span(values: NDArray[Any]) -> Span:
    return int(values.min()), int(values.max()), int(np.quantile(values, 0.995, method="lower"))


def _grey(image: Image.Image, white: int) -> tuple[Image.Image, Span | None]:
    """Grey of more than 8 bits → L: integers are 16-bit, 255 v / white rounded; floats are 0 … 1."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F":
        if not (low >= 0 and high <= 1):
            raise Refused("unsupported", "floating-point values outside 0 … 1; save it as 8 or 16 bits")
        return Image.fromarray(np.rint(values * 255).astype(np.uint8)), None
    if low < 0 or high > WHITE:
        raise Refused("unsupported", f"values from {low} to {high}; save it as 8 bits, or as 0 … {WHITE}")
    if getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0:
        values = WHITE - values.astype(np.int64)  # 0 is white
    levels = np.minimum((np.arange(WHITE + 1) * 255 + white // 2) // white, 255).astype(np.uint8)
    grey = levels[values]
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey), _span(values)


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode not in ("La", "RGBa"):
        return image
    layers = np.asarray(image).astype(np.int16)  # premultiplied: colour + (255 − alpha) is the picture over white
    over = np.clip(layers[..., :-1] + (255 - layers[..., -1:]), 0, 255).astype(np.uint8)
    return Image.fromarray(over[..., 0] if image.mode == "La" else over)


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """L, RGB, CMYK or LAB → RGB. A profile that is damaged or of another colour space is as good as none."""
    if image.mode == "LAB":
        profile = profile or ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    transform = _transform(profile, image.mode) if profile else None
    if transform is None:
        return image.convert("RGB")
    converted = ImageCms.applyTransform(image, transform)
    return image.convert("RGB") if converted is None else converted


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        if mode == "L":
            flags |= ImageCms.Flags.NOOPTIMIZE  # the fast path for grey is wrong by up to 10 levels in the shadows
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        return ImageCms.buildTransform(source, _SRGB, mode, "RGB", renderingIntent=intent, flags=flags)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _pad(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """uint8 [h, w, 3] → [size, size, 3], centred; one of h and w is `size` already."""
    height, width = pixels.shape[:2]
    if height == width == size:
        return pixels
    edges = pixels[[0, -1]] if height < width else pixels[:, [0, -1]]
    square = np.empty((size, size, 3), np.uint8)
    square[:] = np.rint(edges.reshape(-1, 3).mean(axis=0)).astype(np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square
