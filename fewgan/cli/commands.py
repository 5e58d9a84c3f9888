"""The commands: each parses its line, calls one function and prints what it gives. Starts without torch."""

from __future__ import annotations

import dataclasses
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fewgan import registry
from fewgan.cli import choosing, failures, flags, show
from fewgan.cli.choosing import Chosen
from fewgan.cli.flags import real, switch, text, whole
from fewgan.cli.launch import Speaks, launch
from fewgan.screen import Screen
from fewgan.training.config import LOSSES, PRECISIONS, Config

CHANGEABLE = ("steps", "device", "save_every", "sample_every")  # what may go with --resume

TRAINING, SAVING = "Training", "Samples and saves"

Quiet = Annotated[bool, switch("--quiet", "Only warnings and the result.")]
Json = Annotated[bool, switch("--json", "The result as JSON.")]
Seed = Annotated[int, whole(0, "The same seed gives the same result.")]
Device = Annotated[str, text("NAME", "auto, cpu, cuda, cuda:N or mps.", among=("auto", "cpu", "cuda", "mps"))]
StandingStats = Annotated[int, whole(0, "Batches to measure batch norm with anew; 0: as trained.")]


def prepare(
    *,
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS", help="Folder of photos, or a zip or tar file.")],
    size: Annotated[int, whole(1, "Side of the pictures in pixels.")] = 128,
    crop: Annotated[
        str, text("NAME", "center: the middle square; fit: all of it, padded.", among=("center", "fit"))
    ] = "center",
    classes: Annotated[bool, switch("--classes", "The first level of subfolders names classes.")] = False,
    limit: Annotated[int | None, whole(1, "Take this many photos at most.")] = None,
    holdout: Annotated[int, whole(0, "Photos to mark as never trained on.")] = 0,
    seed: Seed = 0,
    workers: Annotated[int | None, whole(1, "Photos decoded at a time; default: one a core.")] = None,
    strict: Annotated[bool, switch("--strict", "Fail where a photo would be left out.")] = False,
    out: Annotated[Path, text("PATH", "Folder to write the dataset to.")] = Path("dataset"),
    force: Annotated[bool, switch("--force", "Replace the dataset that is there.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Turn photos into a dataset to train on."""
    from fewgan.photos.prepare import prepare

    screen = Screen(quiet)
    summary = prepare(
        photos,
        out,
        size=size,
        crop=crop,
        classes=classes,
        limit=limit,
        holdout=holdout,
        seed=seed,
        workers=workers,
        strict=strict,
        force=force,
        screen=screen,
    )
    show.result(summary, as_json, show.prepared)
    screen.note("Next: fewgan train" + ("" if out == Path("dataset") else f" {shlex.quote(str(out))}"))


def train(
    *,
    ctx: typer.Context,
    data: Annotated[str, typer.Argument(metavar="DATASET", help="What fewgan prepare wrote.")] = "dataset",
    source: Annotated[str | None, text("PATH|NAME", "Pretrained GAN: a run, weights, or a name [embedded].")] = None,
    size: Annotated[int | None, whole(1, "Side in pixels; default: the source's, or the dataset's.")] = None,
    steps: Annotated[int, whole(1, "Updates of G.")] = 2000,
    seed: Seed = 0,
    device: Device = "auto",
    out: Annotated[str, text("PATH", "Folder of the run folders.")] = "runs",
    resume: Annotated[
        str | None, text("RUN|latest", "Go on with a run; takes everything from it.", among=("latest",))
    ] = None,
    dry_run: Annotated[bool, switch("--dry-run", "Print the plan and stop.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
    batch_size: Annotated[int, whole(1, "Photos in a batch.", TRAINING)] = 16,
    d_steps: Annotated[
        int | None, whole(1, "Updates of D for one of G; default: the architecture's.", TRAINING)
    ] = None,
    grad_accumulation: Annotated[int, whole(1, "Batches in one update.", TRAINING)] = 1,
    lr_g: Annotated[float | None, real("Learning rate of G; default: the architecture's.", TRAINING)] = None,
    lr_d: Annotated[float | None, real("Learning rate of D; default: the architecture's.", TRAINING)] = None,
    loss: Annotated[
        str | None, text("NAME", f"{', '.join(LOSSES)}; default: the architecture's.", TRAINING, among=LOSSES)
    ] = None,
    precision: Annotated[
        str, text("NAME", "fp32, or bf16 to compute with less memory.", TRAINING, among=PRECISIONS)
    ] = "fp32",
    orthogonal: Annotated[float, real("Weight of the orthogonal regularisation of G.", TRAINING)] = 0.0,
    flip: Annotated[bool, switch("--flip/--no-flip", "Mirror half of the photos.", TRAINING)] = True,
    sample_every: Annotated[int, whole(1, "Steps between grids from fixed latents.", SAVING)] = 200,
    save_every: Annotated[int, whole(1, "Steps between checkpoints.", SAVING)] = 200,
    keep_generators: Annotated[bool, switch("--keep-generators", "Keep the generator of every save.", SAVING)] = False,
    plugins: Chosen,
) -> None:
    """Train a generator on a dataset.

    The options of the plugins you choose stand last; 'fewgan plugins' lists what is installed.
    """
    screen = Screen(quiet)
    if resume is not None:
        changes = flags.given(ctx, allowed=(*CHANGEABLE, "resume", "quiet", "as_json"), beside="--resume")
        import fewgan.training.loop

        wanted = {name: ctx.params[name] for name in CHANGEABLE if name in changes}
        show.result(fewgan.training.loop.resume(resume, screen=screen, **wanted), as_json, show.trained)
        screen.note("Next: fewgan sample")
        return
    # Every option that Config has a field for goes in by its name.
    names = {field.name for field in dataclasses.fields(Config)} & ctx.params.keys()
    config = Config(
        **{name: ctx.params[name] for name in names},
        architecture=plugins.need("architectures"),
        transfer=plugins.need("transfers"),
        augmentation=plugins.one("augmentations"),
        regularizers=plugins.of("regularizers"),
        no_regularizers=plugins.off,
    )
    if dry_run:
        from fewgan.training.plan import plan

        show.result(plan(config, screen), as_json, show.facts)
        return
    import fewgan.training.loop

    show.result(fewgan.training.loop.train(config, screen), as_json, show.trained)
    screen.note("Next: fewgan sample")


def sample(
    *,
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN", help="A run, a generator.safetensors or a pretrained GAN; default: the latest run."
        ),
    ] = None,
    count: Annotated[int | None, whole(1, "How many; default: 64, or 8 to lead --interpolate through.")] = None,
    truncation: Annotated[float | None, real("Below 1: fewer surprises, less variety.")] = None,
    seed: Seed = 0,
    classes: Annotated[str | None, text("NAMES", "Names or numbers, with commas between.")] = None,
    grid: Annotated[bool, switch("--grid", "One picture with all of them.")] = False,
    interpolate: Annotated[bool, switch("--interpolate", "A smooth animation that ends where it starts.")] = False,
    standing_stats: StandingStats = 0,
    format: Annotated[
        str | None,
        text("NAME", "png or jpeg; an animation: webp or gif.", among=("png", "jpeg", "webp", "gif")),
    ] = None,
    out: Annotated[Path | None, text("PATH", "Folder or file; default: a folder in ./pictures.")] = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make new pictures with a trained generator."""
    from fewgan.sampling.sample import sample

    made = sample(
        run,
        count=count,
        truncation=truncation,
        seed=seed,
        classes=classes,
        grid=grid,
        interpolate=interpolate,
        standing_stats=standing_stats,
        format=format,
        out=out,
        device=device,
        screen=Screen(quiet),
    )
    show.result(made, as_json, show.sampled)


def fid(
    *,
    target: Annotated[
        Path | None,
        typer.Argument(metavar="RUN|FOLDER", help="A run, or a folder of pictures; default: the latest run."),
    ] = None,
    against: Annotated[Path | None, text("PATH", "Dataset or folder of pictures; default: the run's dataset.")] = None,
    count: Annotated[int, whole(1, "Pictures to make and score.")] = 5000,
    truncation: Annotated[str | None, text("X,X,…", "One number, or several to sweep: 0.2,0.4,0.6,0.8,1.0.")] = None,
    snapshots: Annotated[bool, switch("--snapshots", "Score every kept generator of the run.")] = False,
    standing_stats: StandingStats = 0,
    seed: Seed = 0,
    out: Annotated[Path | None, text("PATH", "Folder for scores and pictures; default: fid in the run.")] = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
    plugins: Chosen,
) -> None:
    """Measure how close pictures come to the photos."""
    truncations = flags.numbers("--truncation", truncation)
    from fewgan.scoring.fid import score

    report = score(
        target,
        against=against,
        count=count,
        truncations=truncations,
        snapshots=snapshots,
        seed=seed,
        features=plugins.need("features"),
        device=device,
        standing_stats=standing_stats,
        out=out,
        screen=Screen(quiet),
    )
    show.result(report, as_json, type(report).text)


def plugins(*, ctx: typer.Context, as_json: Json = False) -> None:
    """List the installed plugins, show one, or check them all."""
    if ctx.invoked_subcommand is None:
        show.result(registry.describe(), as_json, show.listed)


def plugins_show(
    *, name: Annotated[str, typer.Argument(metavar="NAME", help="A plugin.")], as_json: Json = False
) -> None:
    """Print a plugin's options: flags, types, defaults, ranges."""
    show.result(choosing.about(name), as_json, show.plugin)


def plugins_check(*, as_json: Json = False) -> None:
    """Load every plugin and report each; exit code 1 where one is broken."""
    results = [{**dataclasses.asdict(entry), "error": error} for entry, error in registry.check()]
    show.result(results, as_json, show.checked)
    if any(result["error"] for result in results):
        raise typer.Exit(1)


def version(value: bool) -> None:
    if value:
        from fewgan import __version__

        print(f"fewgan {__version__}")
        raise typer.Exit


def root(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, metavar="", help="Print the version.")
    ] = False,
) -> None:
    """Learn to make new pictures from 100 to 1,000 photos.

    fewgan prepare ./photos, then fewgan train, fewgan sample and fewgan fid.
    """


def build(arguments: Sequence[str]) -> typer.Typer:
    """All commands; those that take plugins have the flags of the plugins that this command line chooses."""
    app = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]}, rich_markup_mode="rich")
    app.callback()(root)
    place = next((index for index, word in enumerate(arguments) if not word.startswith("-")), len(arguments))
    after = {"".join(arguments[place : place + 1]): arguments[place + 1 :]}
    app.command()(prepare)
    app.command()(flags.attach(train, after.get("train"), choosing.COMMANDS["train"]))
    app.command()(sample)
    app.command()(flags.attach(fid, after.get("fid"), choosing.COMMANDS["fid"]))
    group = typer.Typer(invoke_without_command=True)
    group.callback()(plugins)
    group.command("show")(plugins_show)
    group.command("check")(plugins_check)
    app.add_typer(group, name="plugins")
    return app


def run(arguments: Sequence[str], speaks: Speaks = failures.always) -> int:
    """Runs one command line and returns its exit code: 0 done, 1 failed, 2 wrong use, 128 + n: signal n."""
    try:
        command = typer.main.get_command(build(choosing.words() if choosing.completing() else arguments))
        code = command.main(args=list(arguments) or ["--help"], prog_name="fewgan", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (Exception, KeyboardInterrupt) as error:
        return failures.report(error, arguments, speaks)


def main() -> None:
    """The `fewgan` command."""
    # An exception, so that what is half made is cleared away; training saves first, in its own way.
    signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))
    sys.exit(launch(run, sys.argv[1:]))
