"""Pictures, picture files and colour profiles for tests, made on the spot."""

import io
import itertools
import json
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def written(image: Image.Image, form: str, **options) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, form, **options)
    return io.BytesIO(file.getvalue())


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture with structure at every scale but the finest, unlike its own mirror images."""
    small = Image.fromarray(noise((max(2, height // 24), max(2, width // 24), 3), seed))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def any_image(mode: str, width: int, height: int, seed: int) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.random.default_rng(seed).integers(0, 65536, (height, width), dtype=np.uint16))
    if mode == "F":
        return Image.fromarray(np.random.default_rng(seed).random((height, width), dtype=np.float32))
    if mode == "P":
        return Image.fromarray(noise((height, width, 3), seed)).quantize(16)
    if mode == "LAB":
        return Image.frombytes("LAB", (width, height), noise((height, width, 3), seed).tobytes())
    channels = {"1": 1, "L": 1, "LA": 2, "RGB": 3, "YCbCr": 3, "RGBA": 4, "CMYK": 4}[mode]
    raw = noise((height, width, channels), seed)
    return (
        Image.fromarray(raw[..., 0]).convert("1")
        if mode == "1"
        else Image.frombytes(mode, (width, height), raw.tobytes())
    )


def number(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def profile(space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr", connection: bytes = b"XYZ ") -> bytes:
    """An ICC profile of version 2, made from its tags."""
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"wtpt": b"XYZ " + bytes(4) + number(0.9642) + number(1) + number(0.8249),
        **tags,
    }
    table, data, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">II", start + len(data), len(tag))
        data += tag + bytes(-len(tag) % 4)
    head = bytes(4) + struct.pack(">I", 0x02400000) + kind + space + connection + bytes(12) + b"acsp" + bytes(28)
    head += number(0.9642) + number(1) + number(0.8249) + bytes(48)
    return struct.pack(">I", start + len(data)) + (bytes(4) + head[4:] + table + data)


def curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def rgb_profile(order: str = "rgb", gamma: float = 1.0) -> bytes:
    primaries = {"r": (0.43607, 0.22250, 0.01393), "g": (0.38506, 0.71688, 0.09710), "b": (0.14308, 0.06062, 0.71417)}
    tags = {}
    for channel, primary in zip("rgb", order, strict=True):
        tags[channel.encode() + b"XYZ"] = b"XYZ " + bytes(4) + b"".join(map(number, primaries[primary]))
        tags[channel.encode() + b"TRC"] = curve(gamma)
    return profile(b"RGB ", tags)


def cmyk_profile() -> bytes:
    """Lab = paper white less ink, but cyan ink is strongly red: nothing that a plain conversion could give."""
    grid = bytearray()
    for ink in range(16):  # cyan varies slowest
        cyan, black = ink & 8, ink & 1
        grid += bytes([20 if black else 128 if cyan else 255, 128 + (80 if cyan and not black else 0), 128])
    ramp = bytes(range(256))
    matrix = b"".join(number(float(i % 4 == 0)) for i in range(9))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + bytes(grid) + ramp * 3
    return profile(b"CMYK", {b"A2B0": lut}, b"prtr", b"Lab ")


def of_16_bits(picture: Image.Image, factor: int) -> bytes:
    """A PNG of 16 bits a channel, which Pillow cannot write; values are those of the RGB picture times factor."""
    values = (np.asarray(picture).astype(np.uint16) * factor).byteswap().reshape(picture.height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    sides = picture.width.to_bytes(4, "big") + picture.height.to_bytes(4, "big")
    head = chunk(b"IHDR", sides + b"\x10\2\0\0\0")
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def draw(folder: Path, count: int, side: int = 48, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        smooth(side + number % 3, side, seed + number).save(folder / f"{number:03}.jpg", quality=95)
    return folder


def facts(out: Path) -> dict:
    return json.loads((out / "dataset.json").read_text())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def avatars(side: int = 64) -> list[Image.Image]:
    """36 drawn faces: three mouths, three sizes of eyes, four colours of hair, all else the same."""
    made = []
    for mouth, eye, hair in itertools.product(
        ("smile", "line", "round"), (3, 4, 5), ("#402010", "#e0c040", "#181818", "#c05020")
    ):
        image = Image.new("RGB", (128, 128), "#ffffff")
        pen = ImageDraw.Draw(image)
        pen.ellipse((20, 16, 108, 116), fill="#f0c8aa")
        pen.pieslice((16, 8, 112, 88), 180, 360, fill=hair)
        for centre in (48, 80):
            pen.ellipse((centre - 2 * eye, 60 - 2 * eye, centre + 2 * eye, 60 + 2 * eye), fill="#103c78")
        if mouth == "smile":
            pen.arc((48, 72, 80, 100), 20, 160, fill="red", width=4)
        elif mouth == "line":
            pen.line((48, 92, 80, 92), fill="red", width=4)
        else:
            pen.ellipse((56, 84, 72, 100), fill="red")
        made.append(image.resize((side, side), Image.Resampling.LANCZOS))
    return made


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
