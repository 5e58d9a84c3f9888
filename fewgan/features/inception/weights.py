"""The Inception weights file: found, downloaded once, verified by its hash."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from fewgan.plugin import UsageError, fetch

NAME = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{NAME}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
VARIABLE = "FEWGAN_INCEPTION_WEIGHTS"


@dataclass(frozen=True)
class Found:
    """path: the file. digest: its SHA-256. score_name: "FID" for the standard file, else a name with the file's."""

    path: Path
    digest: str

    @property
    def score_name(self) -> str:
        return "FID" if self.digest == SHA256 else f"Fréchet distance ({self.path.name})"

    @property
    def identity(self) -> str:
        return f"inception-v3:{self.digest}"


def find(given: str | None = None) -> Found:
    """The file given, else the one named by FEWGAN_INCEPTION_WEIGHTS, else the standard one, downloaded if necessary.

    The standard file is looked for in fewgan's cache and in torch.hub's, where other tools put it.
    Raises UsageError where a named file does not exist, FewganError where the download fails.
    """
    for text, origin in ((given, "--inception-weights"), (os.environ.get(VARIABLE), VARIABLE)):
        if text:
            path = Path(text).expanduser()
            if not path.is_file():
                raise UsageError(f"{origin} {path}: no such file; the standard one is at {URL}")
            return Found(path, sha256(path))
    otherwise = f"name it with --inception-weights FILE or {VARIABLE}"
    return Found(fetch(URL, SHA256, otherwise=otherwise), SHA256)


def sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None
