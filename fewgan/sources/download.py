"""Files from the network: downloaded once, resumed where they broke off, verified before they get their name."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch

from fewgan import storage
from fewgan.errors import FewganError
from fewgan.screen import Screen
from fewgan.sources import cache

PIECE = 1 << 20
PATIENCE = 30.0  # seconds without a byte
TRIES = 4
PAUSE = 1.0  # seconds before the second try, twice as long before each further one


class _Broken(OSError):
    """The connection ended before the file did; what was received is kept, and the next try resumes from it."""


def fetch(url: str, sha256: str, *, otherwise: str = "") -> Path:
    """The file at `url`, downloaded once into fewgan's cache, with progress; returns its path.

    sha256: hex digest that the file must have. The same file in torch.hub's folder, where other tools leave it, will
    do. otherwise: another way out where it fails, for the message. Raises FewganError.
    """
    name = Path(urlparse(url).path).name
    kept = cache.folder() / name
    for path in (kept, Path(torch.hub.get_dir()) / "checkpoints" / name):
        if path.is_file() and digest(path) == sha256:
            return path
    by_hand = f"get it elsewhere and put it at {kept}" + (f", or {otherwise}" if otherwise else "")
    download(url, kept, sha256=sha256, screen=Screen(), otherwise=by_hand)
    return kept


def download(url: str, path: Path, *, sha256: str, screen: Screen, otherwise: str) -> None:
    """Downloads `url` to `path` by way of `<path>.part`, which a later call resumes.

    sha256: hex digest that the file must have. otherwise: what to do where it fails, for the message. Of two processes
    that want the same file one downloads it, and the other waits. Raises FewganError.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(url, path, part, sha256, screen)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FewganError(f"{url}: could not be downloaded ({_reason(error)}); {otherwise}") from None


def _download(url: str, path: Path, part: Path, sha256: str, screen: Screen) -> None:
    with cache.waiting(path.parent):
        if path.is_file() and digest(path) == sha256:  # by another process meanwhile; a damaged one is replaced
            return
        for left in reversed(range(TRIES)):
            try:
                _load(url, part, path.name, screen)
                break
            except (_Broken, ConnectionError, TimeoutError) as error:
                if not left:
                    raise
                screen.note(f"{path.name}: {_reason(error)}; trying again")
                time.sleep(min(2.0 ** (TRIES - left - 1), 8.0) * PAUSE)
        if (found := digest(part)) != sha256:
            _forget(part)
            raise OSError(f"its SHA-256 is {found[:16]}…, and {sha256[:16]}… was expected; it was deleted")
        os.replace(part, path)
        _forget(part)


def digest(path: Path) -> str:
    """SHA-256 of a file as hex, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load(url: str, part: Path, name: str, screen: Screen) -> None:
    """One try. Resumes a partial file if the server says (If-Range) that its own is still the same."""
    tag, there = _tag(part).get("tag"), part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": f"fewgan/{version('fewgan')}", "Accept-Encoding": "identity"}
    if there and tag:
        headers |= {"Range": f"bytes={there}-", "If-Range": tag}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # there is nothing after what we have, so what we have is not a beginning of it
            _forget(part)
            raise _Broken("what was there did not fit") from None
        raise
    with answer:
        if answer.status != 206:
            there = 0
            _tag(part, {"tag": answer.headers.get("ETag") or answer.headers.get("Last-Modified")})
        length = answer.headers.get("Content-Length")
        total = None if length is None else there + int(length)
        if total:
            storage.check_space(part.parent, total - there)
        with (
            open(part, "ab" if there else "wb") as file,
            screen.progress(f"Fetching {name}", max((total or 0) // PIECE, 1), "MB") as advance,
        ):
            done = there
            advance(there // PIECE)
            while piece := answer.read(PIECE):
                file.write(piece)
                advance((done + len(piece)) // PIECE - done // PIECE)
                done += len(piece)
            file.flush()
            os.fsync(file.fileno())
        if total is not None and done < total:
            raise _Broken(f"broke off at {done} of {total} bytes")


def _tag(part: Path, content: dict[str, Any] | None = None) -> dict[str, Any]:
    """The ETag of the file that `part` is the beginning of, stored beside it."""
    place = part.with_name(part.name + ".json")
    if content is not None:
        place.write_text(json.dumps(content), encoding="utf-8")
        return content
    with suppress(OSError, ValueError):
        found = json.loads(place.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_name(part.name + ".json").unlink(missing_ok=True)


def _reason(error: BaseException) -> str:
    status = isinstance(error, urllib.error.HTTPError)  # its reason leaves out the number
    reason = error if status else getattr(error, "reason", None) or error
    return (str(reason).strip().splitlines() or [type(error).__name__])[0]
