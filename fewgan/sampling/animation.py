"""Animations as files, written as their frames come: of any length in bounded memory."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import IO, Any

from PIL import GifImagePlugin, Image, ImageChops

from fewgan import signatures
from fewgan.errors import FewganError, UsageError
from fewgan.files import replacing
from fewgan.sampling.imagefile import DESCRIPTION, FRAME_MILLISECONDS
from fewgan.screen import one_line

PALETTE_FRAMES = 32
"""Frames that the palette of a GIF is chosen from."""
QUALITY = 18  # of x264's constant rate factor: hardly to be told from the frames
# Even sides, which 4:2:0 needs; BT.709, which players assume and ffmpeg does not set by itself.
FILTERS = (
    "pad=ceil(iw/2)*2:ceil(ih/2)*2,scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,"
    "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709"
)


def need(kind: str) -> None:
    """Raises UsageError where a kind of animation needs a package that is not installed."""
    if kind == "mp4":
        _ffmpeg()


def save(path: Path, frames: Iterable[Image.Image], count: int, kind: str, facts: Mapping[str, Any]) -> None:
    """Writes an animation of 25 frames a second: an endless WebP or GIF, or an MP4 (H.264).

    frames: RGB, `count` of them. facts: for the file's comment. A WebP keeps its compressed frames in memory until the
    end, a GIF its frames on the disk, an MP4 none. The same frames give the same bytes. Raises FewganError where it
    cannot be written, UsageError for an MP4 without the package imageio-ffmpeg.
    """
    comment = signatures.own(facts)
    write = {"webp": _webp, "gif": _gif, "mp4": _mp4}[kind]
    need(kind)
    with replacing(path, durable=False) as temporary:
        write(temporary, iter(frames), count, comment)


class _Frames(Image.Image):
    """Frames that come one after the other, as Pillow reads those of a file: `seek` takes the next."""

    def __init__(self, frames: Iterator[Image.Image], count: int) -> None:
        super().__init__()
        first = next(frames)
        self.n_frames, self._frames, self._at = count, frames, 0
        self.im, self._mode, self._size = first.im, first.mode, first.size

    def seek(self, frame: int) -> None:
        if frame == self._at + 1:
            self.im, self._at = next(self._frames).im, frame

    def tell(self) -> int:
        return self._at


def _webp(path: Path, frames: Iterator[Image.Image], count: int, comment: str) -> None:
    exif = Image.Exif()
    exif[DESCRIPTION] = comment
    _Frames(frames, count).save(
        path, "WEBP", save_all=True, duration=FRAME_MILLISECONDS, loop=0, quality=90, method=4, exif=exif
    )


def _gif(path: Path, frames: Iterator[Image.Image], count: int, comment: str) -> None:
    """One palette for all frames, from an even choice of them: a palette each would flicker.

    Pillow's own writer keeps all frames in memory. Here they wait on the disk until the palette is known.
    """
    first = next(frames)
    every, sheet, chosen = max(1, count // PALETTE_FRAMES), list[Image.Image](), 0
    with tempfile.TemporaryFile(dir=path.parent) as store, open(path, "wb") as file:
        for index, frame in enumerate(chain([first], frames)):
            store.write(frame.tobytes())
            if index % every == 0:
                sheet.append(frame)
            chosen = index + 1
        palette = _beside(sheet).quantize(256)
        store.seek(0)
        _write_gif(file, _quantized(store, chosen, first.size, palette), comment)


def _beside(frames: list[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (frames[0].width * len(frames), frames[0].height))
    for index, frame in enumerate(frames):
        sheet.paste(frame, (index * frame.width, 0))
    return sheet


def _quantized(store: IO[bytes], count: int, size: tuple[int, int], palette: Image.Image) -> Iterator[Image.Image]:
    for _ in range(count):
        frame = Image.frombytes("RGB", size, store.read(3 * size[0] * size[1]))
        yield frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


def _write_gif(file: IO[bytes], frames: Iterator[Image.Image], comment: str) -> None:
    """Of every frame what changed since the one before, as Pillow does."""
    before: Image.Image | None = None
    for frame in frames:
        if before is None:
            info = {"loop": 0, "duration": FRAME_MILLISECONDS, "comment": comment.encode()}
            file.writelines(GifImagePlugin.getheader(frame.copy(), info=info)[0])
            box: tuple[int, int, int, int] = (0, 0, *frame.size)
        else:
            box = ImageChops.subtract_modulo(frame, before).getbbox() or (0, 0, 1, 1)
        file.writelines(GifImagePlugin.getdata(frame.crop(box), box[:2], duration=FRAME_MILLISECONDS))
        before = frame
    file.write(b";")


def _mp4(path: Path, frames: Iterator[Image.Image], count: int, comment: str) -> None:
    first = next(frames)
    size, rate = f"{first.width}x{first.height}", str(1000 // FRAME_MILLISECONDS)
    given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", rate, "-i", "-"]
    # One thread and no versions in the file: the same bytes everywhere.
    coded = ["-an", "-c:v", "libx264", "-crf", str(QUALITY), "-threads", "1", "-vf", FILTERS]
    exact = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1", "-metadata", f"comment={comment}"]
    words = [_ffmpeg(), "-y", "-v", "error", *given, *coded, *exact, "-movflags", "+faststart", "-f", "mp4"]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen([*words, str(path)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said) as process,
    ):
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):  # it has ended, and says why below
                for frame in chain([first], frames):
                    process.stdin.write(frame.tobytes())
        except BaseException:
            process.kill()
            raise
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
        if process.wait() != 0:
            said.seek(0)
            reason = one_line(said.read().decode("utf-8", "replace"))[-200:]
            raise FewganError(f"{path.parent}: the mp4 could not be written (ffmpeg: {reason})")


def _ffmpeg() -> str:
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError:
        raise UsageError("mp4: needs the package imageio-ffmpeg; run pip install imageio-ffmpeg") from None
    try:
        found: str = get_ffmpeg_exe()
    except RuntimeError:
        raise UsageError("mp4: no ffmpeg is here; install one, or set IMAGEIO_FFMPEG_EXE to its path") from None
    return found
