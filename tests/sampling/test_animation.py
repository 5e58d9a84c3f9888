"""Animations as files: written while their frames come, read back, and what is told where they cannot be."""

import re
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import smooth
from PIL import Image

from fewgan.errors import FewganError, UsageError
from fewgan.sampling import animation, imagefile

KINDS = ["webp", "gif", "mp4"]
FACTS = {"model": "x", "truncation": 0.5}


def moving(count: int, side: int = 48) -> Any:
    """Frames that are made when they are asked for: a window over a large picture."""
    whole = smooth(side + count, side, 1)
    return (whole.crop((step, 0, step + side, side)) for step in range(count))


@pytest.fixture(autouse=True)
def _mp4(request: pytest.FixtureRequest) -> None:
    if "mp4" in str(request.node.name):
        pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed here")


def decoded(path: Path) -> np.ndarray:
    """uint8 [frames, H, W, 3]."""
    if path.suffix == ".mp4":
        return decoded_mp4(path)
    with Image.open(path) as opened:
        file: Any = opened
        frames = []
        for index in range(file.n_frames):
            file.seek(index)
            frames.append(np.asarray(file.convert("RGB")))
    return np.stack(frames)


def decoded_mp4(path: Path) -> np.ndarray:
    import imageio_ffmpeg

    program = imageio_ffmpeg.get_ffmpeg_exe()
    said = subprocess.run([program, "-i", str(path)], capture_output=True, text=True, check=False).stderr
    size = re.search(r"Video: .* (\d+)x(\d+)", said)
    assert size is not None, said
    words = [program, "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(words, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, int(size[2]), int(size[1]), 3)


@pytest.mark.parametrize("kind", KINDS)
def test_frames_come_back_and_the_facts_too(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"loop.{kind}"
    animation.save(path, moving(12), 12, kind, FACTS)
    expected = np.stack([np.asarray(frame) for frame in moving(12)])
    found = decoded(path)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 6
    facts = imagefile.facts_of(path)
    assert facts is not None
    assert FACTS.items() <= facts.items()
    first = path.read_bytes()
    animation.save(path, moving(12), 12, kind, FACTS)
    assert path.read_bytes() == first


class Alive:
    """Counts the frames that pass and are not yet freed."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def through(self, frames: Any) -> Any:
        for frame in frames:
            self.now += 1
            self.most = max(self.most, self.now)
            weakref.finalize(frame, self._freed)
            yield frame
            del frame

    def _freed(self) -> None:
        self.now -= 1


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_made_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """No frame is made before the one before it was taken, and none is kept, whatever their number."""
    given, quantized, plain = Alive(), Alive(), animation._quantized
    monkeypatch.setattr(animation, "_quantized", lambda *settings: quantized.through(plain(*settings)))
    animation.save(tmp_path / f"loop.{kind}", given.through(moving(300)), 300, kind, FACTS)
    # Those that the palette of a GIF is chosen from stay for a while.
    assert given.most <= (300 // (300 // animation.PALETTE_FRAMES) + 3 if kind == "gif" else 3)
    assert quantized.most <= 3
    assert len(decoded(tmp_path / f"loop.{kind}")) == 300


def test_equal_frames_of_a_gif(tmp_path: Path) -> None:
    still = smooth(16, 16)
    animation.save(tmp_path / "still.gif", iter([still, still, still]), 3, "gif", {})
    found = decoded(tmp_path / "still.gif")
    assert found.shape[0] == 3
    assert (found == found[0]).all()


def test_odd_sides_of_an_mp4_are_padded(tmp_path: Path) -> None:
    animation.save(tmp_path / "odd.mp4", (frame.resize((33, 21)) for frame in moving(4)), 4, "mp4", {})
    assert decoded(tmp_path / "odd.mp4").shape == (4, 22, 34, 3)


def test_an_mp4_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imageio_ffmpeg")
    monkeypatch.setattr(animation, "FILTERS", "nosuchfilter")
    with pytest.raises(FewganError, match=r"the mp4 could not be written \(ffmpeg: .*nosuchfilter"):
        animation.save(tmp_path / "loop.mp4", moving(4), 4, "mp4", {})
    assert list(tmp_path.iterdir()) == []


def test_an_error_between_frames_ends_ffmpeg_too(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")

    def broken() -> Any:
        yield from moving(2)
        raise FewganError("the generator produces NaN or infinity")

    with pytest.raises(FewganError, match="produces NaN"):
        animation.save(tmp_path / "loop.mp4", broken(), 4, "mp4", {})
    assert list(tmp_path.iterdir()) == []


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UsageError, match="mp4: needs the package imageio-ffmpeg; run pip install imageio-ffmpeg"):
        animation.need("mp4")
    animation.need("webp")


def test_files_of_others_carry_no_facts(tmp_path: Path) -> None:
    for content in (
        b"",
        b"\x00\x00\x00 ftypisom",
        b"\xa9cmt" + bytes(16) + b"hello",
        b"\xa9cmt" + bytes(16) + b"fewgan {",
    ):
        (tmp_path / "a.mp4").write_bytes(content)
        assert imagefile.facts_of(tmp_path / "a.mp4") is None
