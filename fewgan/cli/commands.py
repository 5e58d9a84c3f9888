"""The commands: each parses its line, calls one function and prints what it gives. Starts without torch."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fewgan.cli import choosing, failures, flags, plugin_commands, plugins, show
from fewgan.cli.choosing import Chosen
from fewgan.cli.flags import Device, Json, Quiet, Seed, StandingStats, real, switch, text, whole
from fewgan.cli.launch import Speaks, launch
from fewgan.screen import Screen, flush, others_aside, output
from fewgan.training.config import LOSSES, PRECISIONS, Config

CHANGEABLE = ("data", "steps", "device", "save_every", "sample_every", "patience")  # what may be given with --resume

CROPS, FORMATS = ("center", "fit", "stretch"), ("png", "jpeg", "webp", "gif", "mp4")
TRAINING, SAVING = "Training", "Samples and checkpoints"


def prepare(
    *,
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS", help="Folder of photos, or a zip or tar file.")],
    size: Annotated[int, whole(1, "Width and height of the photos in the dataset, in pixels.")] = 128,
    crop: Annotated[
        str,
        text("NAME", "center: the central square; fit: the whole photo, padded; stretch: squeezed.", among=CROPS),
    ] = "center",
    aspect: Annotated[
        str | None, text("W:H", "Shape that --crop stretch cuts photos to, such as 3:2; default: the photos' median.")
    ] = None,
    classes: Annotated[bool, switch("--classes", "Take the first level of subfolders as classes.")] = False,
    limit: Annotated[int | None, whole(1, "Maximum number of photos.")] = None,
    holdout: Annotated[int, whole(0, "Number of photos to hold out from training, for fid.")] = 0,
    duplicates: Annotated[
        str,
        text("NAME", "Duplicates to leave out: near, mirrored too; exact; keep.", among=("near", "exact", "keep")),
    ] = "near",
    seed: Seed = 0,
    workers: Annotated[int | None, whole(1, "Processes that decode photos; default: one per core.")] = None,
    strict: Annotated[bool, switch("--strict", "Fail if a photo cannot be used.")] = False,
    out: Annotated[Path, text("PATH", "Folder for the dataset.")] = Path("dataset"),
    force: Annotated[bool, switch("--force", "Replace an existing dataset.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Turn photos into a dataset to train on."""
    from fewgan.photos.prepare import prepare

    screen = Screen(quiet)
    summary = prepare(
        photos, out, size=size, crop=crop, aspect=flags.ratio("--aspect", aspect), classes=classes, limit=limit,
        holdout=holdout, duplicates=duplicates, seed=seed, workers=workers, strict=strict, force=force, screen=screen,
    )  # fmt: skip
    show.result(summary, as_json, show.prepared)
    show.next_command(screen, "train", out, default=out == Path("dataset"))


def train(
    *,
    ctx: typer.Context,
    data: Annotated[str, typer.Argument(metavar="DATASET", help="Dataset made by fewgan prepare.")] = "dataset",
    source: Annotated[
        str | None,
        text("PATH|NAME", "Pretrained GAN: a run, its files, a known name such as embedded, or hf:owner/name."),
    ] = None,
    size: Annotated[
        int | None, whole(1, "Image size of the networks; default: the source's, or the dataset's.")
    ] = None,
    steps: Annotated[int, whole(1, "Number of training steps (updates of G).")] = 2000,
    seed: Seed = 0,
    device: Device = "auto",
    out: Annotated[str, text("PATH", "Folder for the runs.")] = "runs",
    resume: Annotated[str | None, text("RUN|latest", "Resume a run with its settings.", among=("latest",))] = None,
    resume_unfinished: Annotated[
        bool, switch("--continue", "Start the run, or resume the one that the same command has made.")
    ] = False,
    dry_run: Annotated[bool, switch("--dry-run", "Print the plan and exit.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
    batch_size: Annotated[int, whole(1, "Photos per batch.", TRAINING)] = 16,
    d_steps: Annotated[int | None, whole(1, "Updates of D per step; default: the architecture's.", TRAINING)] = None,
    grad_accumulation: Annotated[int, whole(1, "Batches accumulated per optimizer step.", TRAINING)] = 1,
    lr_g: Annotated[float | None, real("Learning rate of G; default: the architecture's.", TRAINING)] = None,
    lr_d: Annotated[float | None, real("Learning rate of D; default: the architecture's.", TRAINING)] = None,
    loss: Annotated[
        str | None, text("NAME", f"{', '.join(LOSSES)}; default: the architecture's.", TRAINING, among=LOSSES)
    ] = None,
    precision: Annotated[
        str, text("NAME", "fp32, bf16, or auto: bf16 where the device is faster in it.", TRAINING, among=PRECISIONS)
    ] = "auto",
    orthogonal: Annotated[float, real("Weight of the orthogonal regularization of G.", TRAINING)] = 0.0,
    flip: Annotated[bool, switch("--flip/--no-flip", "Mirror photos at random.", TRAINING)] = True,
    sample_every: Annotated[int, whole(1, "Steps between sample grids.", SAVING)] = 200,
    save_every: Annotated[int, whole(1, "Steps between checkpoints.", SAVING)] = 200,
    keep_generators: Annotated[
        bool, switch("--keep-generators", "Keep the generator of every checkpoint.", SAVING)
    ] = False,
    score_every: Annotated[
        int | None, whole(1, "Steps between scores (KID); the best generator is kept as best.safetensors.", SAVING)
    ] = None,
    patience: Annotated[
        int | None, whole(1, "Stop after N scores in a row without a better one; default: never.", SAVING)
    ] = None,
    plugins: Chosen,
) -> None:
    """Train a generator on a dataset.

    The options of the plugins you choose are listed last; 'fewgan plugins' lists the installed ones.
    """
    screen = Screen(quiet)
    if resume is not None:
        given = flags.given_with_resume(ctx, allowed=(*CHANGEABLE, "resume", "quiet", "as_json"))
        import fewgan.training.loop

        changes = {name: ctx.params[name] for name in CHANGEABLE if name in given}
        with others_aside(as_json):
            trained = fewgan.training.loop.resume(resume, screen, **changes)
        show.result(trained, as_json, show.trained)
        show.next_command(screen, "sample", trained.folder)
        return
    # Each field of Config that has an option is set by it.
    names = {field.name for field in dataclasses.fields(Config)} & ctx.params.keys()
    config = Config(
        **{name: ctx.params[name] for name in names},
        architecture=plugins.need("architectures"),
        transfer=plugins.need("transfers"),
        augmentation=plugins.one("augmentations"),
        regularizers=plugins.of("regularizers"),
        trackers=plugins.of("trackers"),
        features=flags.scoring(ctx, plugins.one("features"), score_every),
        no_regularizers=plugins.off,
    )
    if dry_run:
        from fewgan.training.plan import plan

        with others_aside(as_json):
            planned = plan(config, screen)
        show.result(planned, as_json, show.facts)
        return
    import fewgan.training.loop

    with others_aside(as_json):
        trained = fewgan.training.loop.train(config, screen, resume_unfinished=resume_unfinished)
    show.result(trained, as_json, show.trained)
    show.next_command(screen, "sample", trained.folder, default=out == "runs" and not resume_unfinished)


def sample(
    *,
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN", help="A run, a generator.safetensors or a pretrained GAN; default: the latest run."
        ),
    ] = None,
    count: Annotated[
        int | None,
        whole(1, "Number of pictures, 64 by default; or of keyframes with --interpolate, 8.", most=1_000_000),
    ] = None,
    truncation: Annotated[float | None, real("Truncation: lower values trade variety for quality.")] = None,
    seed: Seed = 0,
    classes: Annotated[str | None, text("NAMES", "Comma-separated class names or indices.")] = None,
    latents: Annotated[Path | None, text("FILE", "Draw from the latents in a safetensors file.")] = None,
    grid: Annotated[bool, switch("--grid", "Make one picture, a grid of all.")] = False,
    interpolate: Annotated[bool, switch("--interpolate", "Make a seamlessly looping animation.")] = False,
    standing_stats: StandingStats = 0,
    format: Annotated[
        str | None, text("NAME", "png or jpeg; for an animation webp, gif or mp4.", among=FORMATS)
    ] = None,
    out: Annotated[Path | None, text("PATH", "Folder or file; default: a folder in ./pictures.")] = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Generate pictures with a trained generator."""
    from fewgan.sampling.sample import sample

    with others_aside(as_json):
        made = sample(
            run, count=count, truncation=truncation, seed=seed, classes=classes, latents=latents, grid=grid,
            interpolate=interpolate, standing_stats=standing_stats, format=format, out=out, device=device,
            screen=Screen(quiet),
        )  # fmt: skip
    show.result(made, as_json, show.sampled)


def fid(
    *,
    target: Annotated[
        Path | None,
        typer.Argument(metavar="RUN|FOLDER", help="A run, a pretrained GAN, or pictures; default: the latest run."),
    ] = None,
    against: Annotated[Path | None, text("PATH", "Dataset or folder of pictures; default: the run's dataset.")] = None,
    count: Annotated[int, whole(1, "Number of pictures to score.")] = 5000,
    truncation: Annotated[str | None, text("X,X,…", "One value, or several for a sweep: 0.2,0.4,0.6,0.8,1.0.")] = None,
    snapshots: Annotated[bool, switch("--snapshots", "Score every generator that the run has kept.")] = False,
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

    with others_aside(as_json):
        report = score(
            target, against=against, count=count, truncations=truncations, snapshots=snapshots, seed=seed, out=out,
            features=plugins.need("features"), device=device, standing_stats=standing_stats, screen=Screen(quiet),
        )  # fmt: skip
    show.result(report, as_json, type(report).text)


def runs(
    *,
    place: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of runs.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the runs of a folder: steps, methods, best score, size on disk."""
    from fewgan.training.listing import listing

    show.result(listing(place), as_json, show.runs)


def version(value: bool) -> None:
    if value:
        from fewgan import __version__

        output(f"fewgan {__version__}")
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


COMMANDS = (prepare, train, sample, fid, runs)


def core_flags() -> set[str]:
    """The flags and command names that no plugin may have."""
    names = {"plugins", *(command.__name__ for command in COMMANDS)}
    return names | choosing.of_core({"train": train, "fid": fid})


def build(arguments: Sequence[str]) -> typer.Typer:
    """All commands; the one that this command line runs has the flags of the plugins that the line names."""
    app = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]}, rich_markup_mode="rich")
    app.callback()(root)
    place = next((index for index, word in enumerate(arguments) if not word.startswith("-")), len(arguments))
    running, rest = "".join(arguments[place : place + 1]), arguments[place + 1 :]
    core = core_flags() if running in choosing.COMMANDS else set()
    for command in COMMANDS:
        name = command.__name__
        kinds = choosing.COMMANDS.get(name)
        app.command(name)(
            choosing.attach(command, rest if name == running else None, kinds, core) if kinds else command
        )
    app.add_typer(plugins.group(core_flags), name="plugins")
    plugin_commands.add(app, running, ("plugins", *(command.__name__ for command in COMMANDS)))
    return app


def run(arguments: Sequence[str], speaks: Speaks = failures.always) -> int:
    """Runs one command line and returns its exit code: 0 done, 1 failed, 2 wrong use, 128 + n: signal n."""
    try:
        flags.refuse_empty(arguments)
        group = typer.main.get_command(build(choosing.words() if choosing.completing() else arguments))
        code = group.main(args=list(arguments) or ["--help"], prog_name="fewgan", standalone_mode=False)
        flush()
        if code == 130:  # typer's word for Ctrl-C, which it says nothing about
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        return failures.report(error, arguments, speaks)


def main() -> None:
    """The `fewgan` command."""
    # An exception, so that unfinished files are removed; training handles the signal itself and saves first.
    failures.exit_on_signals()
    sys.exit(launch(run, sys.argv[1:]))
