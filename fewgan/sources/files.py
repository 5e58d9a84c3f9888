"""The weight files of other programs, as an architecture's `read` is given them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from fewgan.errors import UsageError
from fewgan.sources import pickles, weights
from fewgan.sources.pickles.records import printable

ENDINGS = (".pth.tar", ".pth", ".pt", ".bin", ".pkl", ".safetensors", ".ckpt", ".th")
# What training programs call their networks, in lower case.
_ROLES = {
    **dict.fromkeys(("m", "miner", "netm", "net_m"), "M"),
    **dict.fromkeys(("g_ema", "ema", "params_ema", "netg_ema", "generator_ema", "ema_generator"), "G_ema"),
    **dict.fromkeys(("g", "generator", "netg", "net_g"), "G"),
    **dict.fromkeys(("d", "discriminator", "netd", "net_d"), "D"),
}


class Unread(UsageError):
    """A file that nothing can be read from, whatever its layout."""


def is_weights(name: str) -> bool:
    """Whether a file's name ends as those of weights do."""
    return name.lower().endswith(ENDINGS)


class WeightFiles(Mapping[str, Any]):
    """A file, whatever its ending, or the weight files of a folder; each is read when first asked for, none executed.

    Of a file with several networks (NAME.pkl) each appears as NAME.pkl:G_ema; a module pickled whole is its state dict.
    """

    def __init__(self, path: Path) -> None:
        inside = sorted(file for file in path.iterdir() if is_weights(file.name)) if path.is_dir() else [path]
        self._paths = {file.name: file for file in inside if file.is_file()}
        self._loaded: dict[str, Any] = {}
        self._names: list[str] = []
        for name, file in self._paths.items():
            parts = {}
            with suppress(Unread):  # told by whoever asks for it
                parts = self._networks(name) if file.suffix.lower() == ".pkl" else {}
            self._names += [f"{name}:{part}" for part in parts if part] or [name]

    def _networks(self, name: str) -> dict[str, pickles.Network]:
        return pickles.networks(self._content(name))

    def _content(self, name: str) -> Any:
        if name not in self._loaded:
            path = self._paths[name]
            safe = path.suffix.lower() == ".safetensors"
            try:
                content = weights.read_safetensors(path) if safe else pickles.read(path)
            except UsageError as error:
                content = Unread(str(error))
            if isinstance(content, dict):  # of one network, or of several
                content = {
                    key: weights.without_prefixes(part) if isinstance(part, dict) else part
                    for key, part in weights.without_prefixes(content).items()
                }
            self._loaded[name] = content
        if isinstance(self._loaded[name], Unread):
            raise self._loaded[name]
        return self._loaded[name]

    def __getitem__(self, name: str) -> Any:
        if name in self._paths:
            content = self._content(name)
            return NetworkState(whole) if (whole := self._networks(name).get("")) is not None else content
        file, _, part = name.partition(":")
        if file not in self._paths or part not in (found := self._networks(file)):
            raise KeyError(name)
        return NetworkState(found[part])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class NetworkState(dict[str, Tensor]):
    """The state dict of a pickled network. arguments: what it was constructed with, where the file says."""

    def __init__(self, network: pickles.Network) -> None:
        super().__init__(network.state)
        self.arguments: dict[str, Any] = network.kwargs
        self.class_name = network.class_name


def unwrapped(files: Mapping[str, Any]) -> dict[str, Any]:
    """The files with the state dicts that stand within something else in the place of it; {} where none does.

    That is what a file holds under a key such as `state_dict` or `model`. Networks that keys, the prefixes of Lightning
    or the files' names call generator, discriminator or miner are G_ema.pth, G.pth, D.pth and M.pth. Files that cannot
    be read are left out. Raises UsageError where several files hold generators.
    """
    read: dict[str, Any] = {}
    for name in files:
        with suppress(Unread):
            read[name] = files[name]
    found: dict[str, Any] = {}
    holding = None
    for name, content in read.items():
        inner, networks = content, _by_role(content)
        while not networks and (nested := _nested(inner)) is not None:
            inner, networks = nested, _by_role(nested)
        if networks and holding is not None:
            raise UsageError(f"{holding} and {name} both hold a generator; give one of the files")
        if networks:
            holding = name
            found |= {f"{role}.pth": weights.without_prefixes(state) for role, state in networks.items()}
        elif inner is not content:
            found[name] = weights.without_prefixes(dict(inner))
    whole = {**{name: content for name, content in read.items() if name not in found}, **found}
    roles = {name: role for name in whole.keys() - {holding} if (role := _ROLES.get(name.partition(".")[0].lower()))}
    if len(set(roles.values())) == len(roles):
        whole = {f"{roles[name]}.pth" if name in roles else name: content for name, content in whole.items()}
    return whole if found or whole.keys() != read.keys() else {}


def _nested(content: Any) -> Mapping[Any, Any] | None:
    """The state dict within a dict that holds other things too; None where there is none."""
    if isinstance(content, Mapping):
        for key in ("state_dict", "model", "model_state_dict", "weights", "params"):
            if isinstance(inner := content.get(key), Mapping):
                return inner
    return None


def _by_role(content: Any) -> dict[str, dict[str, Any]]:
    """G_ema, G, D and M (a miner) that are there: dicts under their names, or tensors with those before theirs."""
    found: dict[str, dict[str, Any]] = {}
    if not isinstance(content, Mapping):
        return found
    for key, value in content.items():
        if isinstance(value, Mapping) and (role := _ROLES.get(str(key).lower().removesuffix("_state_dict"))):
            if role != "M" or "linear2.weight" in value:  # many things may be called m
                found[role] = dict(value)
        elif isinstance(value, Tensor):
            first, _, rest = str(key).partition(".")
            if rest and (role := _ROLES.get(first.lower())):
                found.setdefault(role, {})[rest] = value
    return found if found.keys() & {"G", "G_ema"} else {}


def described(files: Mapping[str, Any]) -> str:
    """What a single file holds, for a message; "" where there are several."""
    content = files[next(iter(files))] if len(files) == 1 else None
    if not isinstance(content, Mapping) or not content:
        return ""
    names = [printable(str(key), 40) for key in list(content)[:4]]
    return f" (it holds {', '.join(names)}{', …' if len(content) > 4 else ''})"
