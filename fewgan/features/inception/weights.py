"""The Inception weights file: found, downloaded once, checked by its hash, read without running any code in it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fewgan.plugin import UsageError, fetch

NAME = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{NAME}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
VARIABLE = "FEWGAN_INCEPTION_WEIGHTS"


@dataclass(frozen=True)
class Found:
    """path: the file. score_name: "FID" if it is the standard one, byte for byte; else a name that says which it is."""

    path: Path
    score_name: str


def find(given: str | None = None) -> Found:
    """The file given, else the one FEWGAN_INCEPTION_WEIGHTS names, else the standard one, downloaded if need be.

    The standard file is looked for in fewgan's cache and in torch.hub's, where other tools leave it.
    Raises UsageError where a named file does not exist, FewganError where the download fails.
    """
    for text, origin in ((given, "--inception-weights"), (os.environ.get(VARIABLE), VARIABLE)):
        if text:
            path = Path(text).expanduser()
            if not path.is_file():
                raise UsageError(f"{origin} {path}: no such file; the standard one is at {URL}")
            return Found(path, "FID" if sha256(path) == SHA256 else f"Fréchet distance ({path.name})")
    otherwise = f"name it with --inception-weights FILE or {VARIABLE}"
    return Found(fetch(URL, SHA256, otherwise=otherwise), "FID")


def sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a .pth or .safetensors file, on the CPU. Raises UsageError for anything else."""
    if not path.is_file():  # a pipe or a device may never come to an end
        raise UsageError(f"{path}: is no file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever a broken file makes it
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{path}: cannot be read as a weights file ({reason[:120]})") from None
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise UsageError(f"{path}: not Inception v3 weights for FID; a state dict of tensors is expected")
    return content
