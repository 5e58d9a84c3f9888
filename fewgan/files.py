"""Files that appear whole or not at all, and names that every file system takes."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from fewgan.errors import FewganError
from fewgan.screen import size_text


def shortened(name: str, most: int = 200) -> str:
    """A file name: letters that are not safe in one become _, and it is cut to `most` bytes at a whole character."""
    safe = re.sub(r"[^\w.+-]", "_", name)
    return os.fsencode(safe)[:most].decode("utf-8", "ignore")


def fingerprint(text: str) -> str:
    """Six letters that tell names apart which are the same otherwise."""
    return blake2b(os.fsencode(text), digest_size=3).hexdigest()


def fitting(name: str, most: int = 150) -> str:
    """name, or as much of it as `most` bytes hold and a fingerprint of all."""
    return name if len(os.fsencode(name)) <= most else f"{shortened(name, most - 7)}-{fingerprint(name)}"


def writable(folder: Path) -> Path:
    """Makes a folder for what --out names. Raises FewganError, before the work rather than after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FewganError(f"{folder}: could not be created ({error.strerror}); give another place with --out") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FewganError(f"{folder}: cannot be written to; give another place with --out")
    return folder


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yields a temporary path in the same folder; on success it takes the place of `path`.

    durable: it is synced first, to survive a power cut; pictures by the thousand need not be. Raises FewganError where
    it cannot be written; `path` is unchanged then.
    """
    temporary = path.with_name(f".{shortened(path.name, 120)}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            with suppress(OSError):  # a courtesy: safetensors makes files that the owner alone can read
                os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        why = error.strerror or error
        kept = "; the previous version is unchanged" if path.is_file() else ""
        raise FewganError(f"{path}: could not be written ({why}){kept}{_free(error, path)}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _free(error: OSError, path: Path) -> str:
    """How much room there is, where there may be none: safetensors raises errors without a number."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, 0, None):
        return ""
    try:
        return f" ({size_text(shutil.disk_usage(path.parent).free)} free)"
    except OSError:
        return ""


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def sync_folder(folder: Path) -> None:
    """Has the names in a folder survive a power cut, where the file system can do that (some refuse, Windows does)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
