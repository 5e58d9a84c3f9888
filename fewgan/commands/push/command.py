"""The command: the files of a repository, made in a folder, and their upload as one commit."""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fewgan
from fewgan.commands.push import card
from fewgan.plugin import FewganError, UsageError

if TYPE_CHECKING:
    from fewgan.commands.push import Options
    from fewgan.plugin import Screen


@dataclass(frozen=True)
class Pushed:
    """Where the files are: a folder, or the repository's address. licence: what the model card states."""

    place: str
    files: list[str]
    licence: str

    def text(self) -> str:
        return f"{self.place}: {', '.join(self.files)}; licence {self.licence}"


def push(options: Options, screen: Screen) -> Pushed:
    """Writes or uploads README.md, samples.png and the networks. Nothing of a run is uploaded as it lies there.

    Photos, and pictures with photos in them, stay. Raises UsageError where the licence is unknown, before anything is
    computed; FewganError where the upload fails.
    """
    one = options.run if options.repository is None and options.folder is None else None
    if one is not None and _named(one) and not Path(one).exists():
        if Path(one).parent.is_dir():
            raise UsageError(f"{one}: no such run; for a repository of this name, give the run before it")
        options = replace(options, run=None, repository=one)  # one word: that of the latest run
    if (options.repository is None) == (options.folder is None):
        raise UsageError("give the repository as owner/name, or --folder to write its files without a network")
    if options.repository is not None and not _named(options.repository):
        raise UsageError(f"{options.repository}: write the repository as owner/name")
    hub = _package() if options.folder is None else None
    model = fewgan.load(options.run, screen)
    if "network_classes" not in model.config:
        raise UsageError(f"{model.path}: push is for what fewgan trained; these files were published by others")
    licence = card.licence(model.config, options.licence)
    if options.folder is not None:
        folder = Path(options.folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"--folder {folder}: exists and is not an empty folder; give another")
        folder.mkdir(parents=True, exist_ok=True)  # before the work rather than after it
        files = _write(folder, model, options, licence, screen)
        return Pushed(str(folder), files, licence)
    with tempfile.TemporaryDirectory(prefix="fewgan-push-") as temporary:
        files = _write(Path(temporary), model, options, licence, screen)
        address = _upload(hub, Path(temporary), options, screen)
    return Pushed(address, files, licence)


def _named(text: str) -> bool:
    return re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", text) is not None


def _write(folder: Path, model: Any, options: Options, licence: str, screen: Screen) -> list[str]:
    screen.note(f"Drawing samples: {options.samples}")
    images = model.sample(options.samples, truncation=options.truncation, seed=options.seed)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_sheet(folder / card.SAMPLES, images)
    where = f"hf:{options.repository}" if options.repository is not None else "hf:OWNER/NAME"
    title = (options.repository or model.name).rpartition("/")[2]
    text = card.text(model, licence, title=title, where=where, truncation=options.truncation)
    (folder / "README.md").write_text(text, encoding="utf-8")
    # Who starts from these files finds the licence in them.
    own = {"source": where.removeprefix("hf:") if options.repository else model.name, "licence": licence}
    inherited = [one for one in model.config["licences"] if one["licence"] != licence]
    model.config = {**model.config, "licences": [*inherited, own]}
    model.save(folder, half=options.half)
    return sorted(path.name for path in folder.iterdir())


def _package() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.utils
    except ImportError:
        raise UsageError("push: needs the package huggingface_hub; run pip install huggingface_hub") from None
    return huggingface_hub


def _upload(hub: Any, folder: Path, options: Options, screen: Screen) -> str:
    from huggingface_hub.errors import HfHubHTTPError

    if screen.quiet or not sys.stderr.isatty():
        hub.utils.disable_progress_bars()
    api = hub.HfApi(endpoint=hub.constants.ENDPOINT, library_name="fewgan")
    # Of where there is no network: httpx's, a package that is not fewgan's to name.
    client: tuple[Any, ...] = tuple(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    try:
        address = api.create_repo(options.repository, private=options.private or None, exist_ok=True)
        screen.note(f"Uploading to {address}")
        api.upload_folder(repo_id=options.repository, folder_path=folder, commit_message=options.message)
    except (OSError, ValueError, RuntimeError, *client) as error:
        error = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        status = getattr(getattr(error, "response", None), "status_code", None)
        reason = (
            "no valid token, or none that may write; set HF_TOKEN or run hf auth login"
            if status in (401, 403)
            else str(error)
        )
        raise FewganError(f"{options.repository}: could not be uploaded ({' '.join(reason.split())[:200]})") from None
    return str(address)
