"""What `fewgan report` does: choose the run, then write its page or serve it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewgan.commands.report import files, page, serve
from fewgan.plugin import FewganError, UsageError

if TYPE_CHECKING:
    from fewgan.commands.report import Options
    from fewgan.plugin import Screen


class Written(dict[str, Any]):
    def text(self) -> str:
        return f"{self['file']}: {self['bytes'] / 1e6:.1f} MB"


def run(options: Options, screen: Screen) -> Written | None:
    """Raises UsageError for wrong use and for what is no run, FewganError where the file cannot be written."""
    if options.serve and options.out is not None:
        raise UsageError("--serve writes no file; leave out --out")
    if options.port is not None and not options.serve:
        raise UsageError("--port is for --serve; add it")
    paths = [_run(options.run), *([Path(options.with_)] if options.with_ is not None else [])]
    if options.serve:
        serve.serve(paths, options.port, screen)
        return None
    out = _out(options.out, paths[0])
    text = page.make(paths)
    size = write(out, text)
    screen.note(f"Open it in a browser: {out.resolve().as_uri()}")
    return Written(file=str(out), bytes=size)


def _out(given: str | None, run: Path) -> Path:
    """The file to write. Raises UsageError where one that this command did not write would be lost."""
    out = run if given is None else Path(given)
    if given is None or out.is_dir() or given.endswith("/"):
        out = out / "report.html"
    if out.is_file() and not out.is_symlink() and page.SIGN.encode() not in out.read_bytes():
        raise UsageError(f"{out}: not made by fewgan and would be overwritten; give another place with --out")
    return out


def _run(name: str | None) -> Path:
    if name is not None:
        return Path(name)
    found = files.latest(Path("runs"))
    if found is None:
        raise UsageError("runs: no run here; run 'fewgan train' first, or name a run folder")
    return found


def write(path: Path, text: str) -> int:
    """Writes the file, in one go: an earlier one is replaced when the new one is whole. Returns its bytes."""
    content = text.encode("utf-8")
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)
        with open(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError as error:
        raise FewganError(
            f"{path}: could not be written ({error.strerror or error}); choose another with --out"
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return len(content)
