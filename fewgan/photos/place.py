"""Where a dataset's folder goes: written beside its place under a hidden name, put there when it is complete.

A new folder is `.fewgan-KEY-TOKEN.partial` while it is written, KEY made from the name of its place; a dataset that it
replaces is `.fewgan-KEY-TOKEN.replaced` for the moment between two renames. A crash in that moment leaves both, and
`recover` puts the new one in place. The folder is locked while it is written, so that what a killed process left can
be told from what a living one is writing.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from filelock import FileLock, Timeout

from fewgan.errors import KEPT_OUT, FewganError, UsageError
from fewgan.files import sync_folder
from fewgan.run import lock
from fewgan.screen import safe

FACTS, IMAGES, PREVIEW, REJECTED = "dataset.json", "images.safetensors", "preview.png", "rejected.jsonl"
_ORDER = (IMAGES, PREVIEW, REJECTED, FACTS)  # dataset.json last: with it a dataset is complete
_LOCK = ".lock"
_ABANDONED = 600  # seconds after which files without a lock, which an older fewgan wrote, are taken for left over


def is_dataset(folder: Path) -> bool:
    """Whether fewgan prepare wrote this folder. Other programs have a dataset.json too."""
    if (folder / IMAGES).exists():
        return (folder / FACTS).exists()
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(facts, dict) and {"format", "fingerprint"} <= facts.keys()


def recover(out: Path) -> None:
    """Completes the replacement of a dataset that a crash interrupted, if `out` is missing because of one."""
    place = Path(os.path.realpath(out))
    if os.path.lexists(place):
        return
    with suppress(OSError):
        for aside in sorted(place.parent.glob(f".fewgan-{_key(place)}-*.replaced")):
            partial = aside.with_suffix(".partial")
            for _ in range(20):  # a living process is about to do it
                if not _held(partial):
                    break
                time.sleep(0.05)
            if os.path.lexists(place) or _held(partial):
                return
            os.rename(partial if (partial / FACTS).exists() else aside, place)
            (place / _LOCK).unlink(missing_ok=True)
            shutil.rmtree(aside, ignore_errors=True)
            return


@contextmanager
def new_folder(out: Path, photos: Path, force: bool) -> Iterator[Path]:
    """A new folder beside `out`, under a hidden name, which becomes `out` when the block ends well, else vanishes.

    Raises UsageError where `out` exists (with force: where it is no dataset or holds anything else), or holds the
    photos.
    """
    place = Path(os.path.realpath(out))
    recover(place)
    source = Path(os.path.realpath(photos))
    _check(out, place, source, force)
    _clear(place)
    missing = [folder for folder in place.parents if not folder.exists()]
    partial: Path | None = None
    try:
        with ExitStack() as held:
            try:
                while partial is None or not partial.is_dir():  # another process may clear it away before it is locked
                    partial = place.parent / f".fewgan-{_key(place)}-{secrets.token_hex(4)}.partial"
                    partial.mkdir(parents=True)
                    held.enter_context(_locked(partial))
            except (FileExistsError, NotADirectoryError):
                raise UsageError(
                    f"--out {safe(str(out))}: a file is in the way of a folder; give another --out"
                ) from None
            except OSError as error:
                if error.errno not in KEPT_OUT:
                    raise
                there = next(folder for folder in place.parents if folder.exists())
                where = f"{safe(str(there))} cannot be written to ({error.strerror})"
                raise FewganError(f"--out {safe(str(out))}: {where}; give another --out") from None
            yield partial
            _check(out, place, source, force)  # another process may have put one there meanwhile
            if os.name == "posix":  # the lock is held until the folder is in its place; Windows renames no open file
                _put(partial, place)
        if os.name != "posix":
            _put(partial, place)
    except BaseException:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):
            for folder in missing:
                folder.rmdir()
        raise


def _put(partial: Path, place: Path) -> None:
    """Renames the new folder to its place, and an older one out of the way and then deletes it."""
    aside = partial.with_suffix(".replaced")
    sync_folder(partial)
    replaced = False
    try:
        if os.path.lexists(place):
            os.rename(place, aside)
            replaced = True
        os.rename(partial, place)
    except BaseException as error:
        if replaced:
            os.rename(aside, place)
        if not isinstance(error, OSError) or error.errno == errno.ENOSPC:
            raise
        _move_files(partial, place)  # some disks rename no folders
    (place / _LOCK).unlink(missing_ok=True)
    sync_folder(place.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _move_files(partial: Path, place: Path) -> None:
    place.mkdir(exist_ok=True)
    for name in _ORDER:
        try:
            os.replace(partial / name, place / name)
        except OSError:
            (place / name).unlink(missing_ok=True)
            shutil.copyfile(partial / name, place / name)
    sync_folder(place)
    shutil.rmtree(partial, ignore_errors=True)


def _clear(place: Path) -> None:
    """Deletes what processes that no longer live left beside `place`."""
    with suppress(OSError):
        for left in list(place.parent.glob(".fewgan-*.replaced")):
            if left.name.startswith(f".fewgan-{_key(place)}-") and os.path.lexists(place):
                shutil.rmtree(left, ignore_errors=True)
        for left in list(place.parent.glob(".fewgan-*.partial")):
            if left.is_dir() and not left.with_suffix(".replaced").exists():
                _sweep(left)


def _sweep(folder: Path) -> None:
    """Deletes a hidden folder that no living process writes, and holds its lock until it is gone.

    So a process that has made its folder and locks it only now finds it gone, and makes another one.
    """
    path, within = folder / _LOCK, list(folder.iterdir())
    try:
        if path in within or not within:
            with FileLock(path, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
            if os.name != "posix":  # Windows deletes no open file
                shutil.rmtree(folder, ignore_errors=True)
            return
    except Timeout:
        return
    except (OSError, NotImplementedError):  # a link, or a disk without locks
        if path in within:
            return
    newest = max(one.lstat().st_mtime for one in (folder, *within))
    if time.time() - newest > _ABANDONED:
        shutil.rmtree(folder, ignore_errors=True)


def _held(folder: Path) -> bool:
    """Whether a living process writes this folder."""
    path = folder / _LOCK
    if not path.exists() or path.is_symlink():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except (Timeout, OSError, NotImplementedError):
        return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Held by this process while it lives. No lock where the file system has none."""
    try:
        with lock(folder / _LOCK):
            yield
    finally:
        with suppress(OSError):
            (folder / _LOCK).unlink(missing_ok=True)


def _key(place: Path) -> str:
    return blake2b(os.fsencode(place.name), digest_size=4).hexdigest()


def _check(out: Path, place: Path, photos: Path, force: bool) -> None:
    name = safe(str(out))
    if photos == place or place in photos.parents:
        raise UsageError(f"--out {name} is where the photos are: give another --out")
    if not os.path.lexists(place):
        return
    if not force:
        raise UsageError(f"{name} exists: give another --out, or --force to replace it")
    if not place.is_dir():
        raise UsageError(f"{name} is a file: --force replaces datasets only; give another --out")
    there = set(os.listdir(place)) - {_LOCK}
    if there and not is_dataset(place):
        raise UsageError(f"{name} is not a dataset: --force replaces nothing else; give another --out")
    if others := sorted(there - set(_ORDER)):
        raise UsageError(
            f"{name} also holds {safe(others[0])}, which --force would delete: move it, or give another --out"
        )
