"""Pretrained GANs from the Hugging Face Hub: hf:owner/name, with @revision if wanted. Needs the extra fewgan[hub]."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from fewgan.errors import FewganError, UsageError
from fewgan.run import DISCRIMINATOR, GENERATOR
from fewgan.screen import one_line
from fewgan.sources.files import ENDINGS, is_weights

PREFIX = "hf:"
OWN = (DISCRIMINATOR, GENERATOR)

_PLACE = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def is_place(place: str | Path) -> bool:
    return str(place).startswith(PREFIX)


def name(place: str | Path) -> str:
    """What a model from there is called: owner-name."""
    return _parts(place)[0].replace("/", "-")


def locate(place: str | Path) -> Path:
    """The folder with the weights of hf:owner/name[@revision], in the Hub's cache, downloaded if need be.

    Of a repository that fewgan wrote, its two files; of others, the weight files that are in no folder. Without a
    network it is what was downloaded before. HF_ENDPOINT, HF_HOME and HF_TOKEN are minded. Raises UsageError for what
    is not there or holds no weights, FewganError where a download fails.
    """
    repository, revision = _parts(place)
    hub = _package()
    with _told(place):
        try:
            found = _api(hub).model_info(repository, revision=revision)
            there = [one.rfilename for one in found.siblings or []]
        except hub.errors.HfHubHTTPError:
            raise
        except _failures():  # no network
            return Path(hub.snapshot_download(repository, revision=revision, local_files_only=True))
        if not sys.stderr.isatty():
            hub.utils.disable_progress_bars()
        wanted = weights(there)
        if not wanted:
            raise UsageError(f"{place}: this repository has no weight files ({', '.join(ENDINGS)}) outside its folders")
        paths = [Path(_fetched(hub, repository, file, revision or "main", found.sha)) for file in wanted]
    return paths[0].parent


def weights(files: Sequence[str]) -> list[str]:
    """Those of a repository's files that are fetched; their readers run nothing that is in them."""
    if GENERATOR in files:
        return [file for file in OWN if file in files]
    return sorted(file for file in files if "/" not in file and is_weights(file))


def licence(place: str | Path) -> str | None:
    """The licence that the repository's model card states, None where that cannot be asked or it states none."""
    repository, revision = _parts(place)
    hub = _package()
    try:
        card = _api(hub).model_info(repository, revision=revision).card_data
    except _failures():
        return None
    stated = card.get("license") if card is not None else None
    return stated if isinstance(stated, str) and stated not in ("", "unknown") else None


def _parts(place: str | Path) -> tuple[str, str | None]:
    # A path of Windows has turned the slash.
    found = _PLACE.fullmatch(place.as_posix() if isinstance(place, PurePath) else place)
    if found is None:
        raise UsageError(f"{place}: write hf:owner/name, or hf:owner/name@revision")
    return found["repository"], found["revision"]


def _package() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError:
        raise UsageError("hf: needs the package huggingface_hub; run pip install huggingface_hub") from None
    return huggingface_hub


def _api(hub: Any) -> Any:
    return hub.HfApi(endpoint=hub.constants.ENDPOINT, library_name="fewgan")


def _fetched(hub: Any, repository: str, file: str, revision: str, commit: str) -> str:
    """By its commit, so that all files are of one; the revision's name is kept too, for a time without a network."""
    where = {"endpoint": hub.constants.ENDPOINT, "library_name": "fewgan"}
    found: str = hub.hf_hub_download(repository, file, revision=revision, **where)
    if Path(found).parent.name != commit:  # it has moved on in between
        found = hub.hf_hub_download(repository, file, revision=commit, **where)
    return found


def _failures() -> tuple[Any, ...]:
    """What the Hub's client raises where there is no network: errors of httpx, which it alone imports."""
    from huggingface_hub.errors import HfHubHTTPError

    return (OSError, *(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError"))


@contextmanager
def _told(place: str | Path) -> Iterator[None]:
    """The client's errors as one line each."""
    from huggingface_hub import errors

    try:
        yield
    except (errors.GatedRepoError, errors.RepositoryNotFoundError):
        raise UsageError(
            f"{place}: no such repository, or a private or gated one; for those, set HF_TOKEN or run hf auth login"
        ) from None
    except errors.RevisionNotFoundError:
        raise UsageError(f"{place}: no such revision") from None
    except errors.LocalEntryNotFoundError:
        raise FewganError(f"{place}: cannot be reached, and was not downloaded before; check the network") from None
    except (ValueError, RuntimeError, *_failures()) as error:
        raise FewganError(f"{place}: could not be downloaded ({one_line(str(error))[:200]})") from None
