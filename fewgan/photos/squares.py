"""Photos → squares of one size, in order, over as many processes as asked for.

The result never depends on the number of processes. Few photos are under way at a time, so memory does not depend on
how many there are. Pillow is C code fed with strangers' files: in processes of its own, a crash is a message.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewgan.errors import FewganError
from fewgan.photos.decode import WHITE, Decoded, Span, decode
from fewgan.photos.duplicates import Print, fingerprint
from fewgan.photos.found import Found, Photo, Refusal
from fewgan.photos.gather import open_photo
from fewgan.photos.kinds import Refused, check_name, pictured
from fewgan.screen import safe

MOST_WORKERS = 61  # as many processes as Windows can wait for
_BYTES_UNDER_WAY = 512 * 1024**2


@dataclass(frozen=True)
class Square:
    """pixels: uint8 [3, S, S]. enlarged: the photo was smaller. print: to know it again. For the rest see `Decoded`."""

    pixels: NDArray[np.uint8]
    enlarged: bool
    print: Print
    span: Span | None = None
    colour: bool = False
    aspect: float = 1.0


def square(
    name: str, source: bytes | Path, size: int, crop: str, *, white: int = WHITE, aspect: float | None = None
) -> Square | Refusal:
    """source: the file's bytes, or its path. What the file does wrong is returned, not raised."""
    try:
        check_name(name)
        with open_photo(source) as file:
            decoded = decode(file, size, crop, white, aspect, name=name)
        _check_blank(decoded, white)
    except Refused as error:
        if error.kind == "unreadable" and not pictured(name):
            return Refusal.of(name, Refused("not a picture"))
        return Refusal.of(name, error)
    pixels = np.ascontiguousarray(decoded.pixels.transpose(2, 0, 1))
    print = fingerprint(decoded.pixels)
    return Square(pixels, decoded.enlarged, print, decoded.span, decoded.colour, decoded.aspect)


def _check_blank(decoded: Decoded, white: int) -> None:
    """Raises Refused for a square of one colour, within what saving as JPEG leaves behind."""
    if decoded.transparent:
        raise Refused("blank", "every pixel is transparent; remove the alpha channel if the colours are a photo")
    if decoded.span is not None and white == WHITE and decoded.span[1] - decoded.span[0] > 3:
        return  # of a small range, perhaps, which looks like one colour before that is known
    if np.ptp(decoded.pixels, axis=(0, 1)).max() <= 3:
        raise Refused("blank", "the picture has one colour only")


def squares(
    found: Found,
    photos: Iterable[Photo],
    size: int,
    crop: str,
    workers: int,
    *,
    white: int = WHITE,
    aspect: float | None = None,
) -> Generator[tuple[Photo, Square | Refusal], None, None]:
    """Each of `photos` with what became of it, in their order. workers 1: in this process.

    Raises FewganError where a worker process dies. With more than one worker, a script that calls this at its top
    level must do so under `if __name__ == "__main__":`, as processes are spawned.
    """
    if workers == 1:
        for photo in photos:
            source = _read(found, photo)
            if isinstance(source, Refusal):
                yield photo, source
            else:
                yield photo, square(photo.name, source, size, crop, white=white, aspect=aspect)
        return
    workers = min(workers, MOST_WORKERS)
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_exit_with_parent)
    pending: deque[tuple[Photo, int, Future[Square | Refusal] | Refusal]] = deque()
    held = 0

    def oldest() -> tuple[Photo, Square | Refusal]:
        nonlocal held
        photo, weight, result = pending[0]
        outcome = result if isinstance(result, Refusal) else result.result()
        pending.popleft()
        held -= weight
        return photo, outcome

    try:
        for photo in photos:
            while pending and (len(pending) >= 8 * workers or held >= _BYTES_UNDER_WAY):
                yield oldest()
            source = _read(found, photo)
            if isinstance(source, Refusal):
                pending.append((photo, 0, source))
                continue
            with _interrupts_held_back():
                future = pool.submit(square, photo.name, source, size, crop, white=white, aspect=aspect)
            weight = len(source) if isinstance(source, bytes) else 0
            held += weight
            pending.append((photo, weight, future))
        while pending:
            yield oldest()
    except BrokenProcessPool:
        names = [safe(photo.name) for photo, _, result in pending if not isinstance(result, Refusal)] or ["the first"]
        raise FewganError(
            f"A worker process died while it read a photo between {names[0]} and {names[-1]}: out of memory, or a file "
            "that crashes the decoder. Remove that file, or use fewer --workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def workers_for(photos: Iterable[Photo]) -> int:
    """How many processes are worth starting: one takes about as long to start as 1.5 seconds of decoding save."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    seconds = sum(0.002 + 2e-8 * photo.length for photo in photos)
    return max(1, min(available, int(seconds / 1.5)))


def _read(found: Found, photo: Photo) -> bytes | Path | Refusal:
    try:
        return found.read(photo)
    except Refused as error:
        return Refusal.of(photo.name, error)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Processes started meanwhile never see Ctrl-C: this one handles it and ends them, without their tracebacks."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _exit_with_parent() -> None:
    """In a worker: end with the process that started it, even if that one is killed."""
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
