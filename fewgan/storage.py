"""Tensors on disk: safetensors files with facts and checksums, state dicts that must fit a module, room on the disk.

A file that fewgan writes carries `facts` as JSON in its metadata, under the key `fewgan`, with the number of its format
and a CRC-32 of the facts and of each tensor.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fewgan import run, signatures
from fewgan.errors import FewganError, UsageError
from fewgan.files import replacing
from fewgan.screen import size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


T = TypeVar("T")


class Damaged(UsageError):
    """A file of fewgan's that is cut short, overwritten or otherwise not what was written."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """A safetensors file with `facts` in its metadata. Tensors may share memory (tied weights)."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    flat: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        if own.untyped_storage().data_ptr() in seen:  # safetensors refuses tensors that share memory
            own = own.clone()
        seen.add(own.untyped_storage().data_ptr())
        flat[name] = own
    described = {"format": run.FORMAT, **facts}
    # Within the one text, because safetensors writes several in any order, and the same run shall give the same bytes.
    text = json.dumps({**described, "crc32": _checksums(described, flat)})
    with replacing(path) as temporary:
        try:
            save_file(flat, temporary, metadata={"fewgan": text})
        except SafetensorError as error:
            needed = size_text(sum(tensor.nbytes for tensor in flat.values()))
            raise OSError(0, f"{needed} needed; {error}") from error


def _checksums(facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """By tensor, and of the facts under the empty name."""
    import torch

    parts = {name: tensor.reshape(-1).view(torch.uint8).numpy().data for name, tensor in tensors.items()}
    return {"": zlib.crc32(json.dumps(facts).encode())} | {name: zlib.crc32(part) for name, part in parts.items()}


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The open file and its facts. Raises UsageError naming the file, Damaged where it is not what was written."""
    from safetensors import SafetensorError, safe_open

    run.regular(path)
    try:
        with safe_open(path, framework="pt") as file:
            facts = run.check_format(json.loads((file.metadata() or {}).get("fewgan", "null")), path)
            yield file, facts
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        what = signatures.instead(path, signatures.SAFETENSORS)
        unread = f"cannot be read ({error}); the file is damaged or not a safetensors file"
        raise Damaged(f"{path}: {what or unread}") from None


def read_facts(path: Path) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """The facts of a file and the shape of each tensor, from its header alone: nothing is allocated."""
    with _opened(path) as (file, facts):
        facts.pop("crc32", None)
        return facts, {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def tensor_names(path: Path) -> list[str]:
    """The names in any safetensors file, from its header alone. Raises Damaged where it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(run.regular(path), framework="pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        what = signatures.instead(path, signatures.SAFETENSORS)
        raise Damaged(f"{path}: {what or f'cannot be read ({error}); the file is damaged'}") from None


def read_tensors(path: Path, prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors whose names start with `prefix`, without it, and the facts.

    Raises UsageError naming the file, Damaged where it is not what was written.
    """
    with _opened(path) as (file, facts):
        tensors = {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
    sums = facts.pop("crc32", {})
    for name, value in _checksums(facts, tensors).items():
        if not isinstance(sums, dict) or sums.get(name, value) != value:
            raise Damaged(f"{path}: the file is damaged: {name or 'its description'} is not what was written")
    return part(tensors, prefix), facts


def part(tensors: Mapping[str, T], prefix: str) -> dict[str, T]:
    """The tensors whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def check_shapes(module: Any, shapes: Mapping[str, Sequence[int]], file: Path | str) -> None:
    """Raises UsageError naming the file and the first tensor that is missing, unknown or of another shape."""
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    optional = _optional(module)
    for name in [*expected, *shapes]:
        if name not in shapes:
            if name in optional:
                continue
            raise UsageError(f"{file}: tensor {name} is missing")
        if name not in expected:
            raise UsageError(f"{file}: tensor {name} is not part of this network")
        if tuple(shapes[name]) != expected[name]:
            raise UsageError(f"{file}: tensor {name} is {list(shapes[name])}, {list(expected[name])} expected")


def load_state(module: Any, state: Mapping[str, Tensor], file: Path | str) -> None:
    """load_state_dict with one error that names the file and the first tensor that does not fit."""
    check_shapes(module, {name: tuple(tensor.shape) for name, tensor in state.items()}, file)
    expected = module.state_dict()
    for name, tensor in state.items():
        if tensor.is_floating_point() != expected[name].is_floating_point():
            raise UsageError(f"{file}: tensor {name} is {tensor.dtype}, {expected[name].dtype} expected")
    try:
        module.load_state_dict(dict(state))
    except RuntimeError as error:  # a frozen part of other weights, or a plugin's own check
        raise UsageError(f"{file}: {' '.join(str(error).split())[:200]}") from None


def _optional(module: Any) -> set[str]:
    """State that older files may lack, by the `optional_state` of the modules below."""
    return {
        f"{prefix}.{name}".lstrip(".")
        for prefix, child in module.named_modules()
        for name in getattr(child, "optional_state", ())
    }


def check_finite(tensors: Mapping[str, Tensor], file: Path | str) -> None:
    """Raises UsageError naming the first tensor that holds NaN or infinity."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise UsageError(f"{file}: tensor {name} holds NaN or infinity; use an earlier checkpoint")


def check_space(folder: Path, needed: int) -> None:
    """Raises FewganError where the disk of a folder, which need not exist yet, has fewer bytes left than needed."""
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise FewganError(
            f"{folder}: needs {size_text(needed)} of disk space, only {size_text(free)} available; free some, "
            "or name another place"
        )


def nbytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
