"""Several processes against one. The processes are real, and meet on loopback."""

import json
import signal
import textwrap
import time
from pathlib import Path

import pytest
import torch
from drawn import draw
from forks import Job
from safetensors.torch import load_file
from torchrun import ALONE, ranks, torchrun

from fewgan import run
from fewgan.photos.prepare import prepare
from fewgan.screen import Screen

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a dataset of 20 photos at 32 px."""
    place = tmp_path_factory.mktemp("place")
    prepare(draw(place / "photos", 20), place / "dataset", size=32, workers=1, screen=Screen(quiet=True))
    return place


# A training of 3 steps in float64, on a dataset that float64 photos come from; written out by the first process.
THREE_STEPS = """
    import sys
    from pathlib import Path

    import torch
    from fewgan import distributed, registry
    from fewgan.training import batches as feed
    from fewgan.cli import launch
    from fewgan.training import players
    from fewgan.training import session
    from fewgan.architectures.biggan import Options
    from fewgan.training.config import Config
    from fewgan.screen import Screen
    from fewgan.training.steps import Clock, discriminator_step, generator_step
    from safetensors.torch import save_file

    def three_steps(arguments, speaks):
        out, transfer, source = arguments[1:]
        config = Config(
            data="dataset", source=source or None, batch_size=16, device="cpu", grad_accumulation=2,
            architecture=registry.choose("architectures", "biggan", None if source else Options(width=4)),
            transfer=registry.choose("transfers", transfer), steps=3, precision="fp32",
        )
        work = session.begin(config, Screen(quiet=True))
        state, config = work.state, work.config
        game = state.players
        for module in game.modules.values():
            module.double()
        both, losses = players.optimizers(game, config), []
        for _ in range(3):
            feed.seed(work)
            batches = [feed.batch(work) for _ in range(2)]
            batches = [(images.double(), labels) for images, labels in batches]
            stats = discriminator_step(game, both["discriminator"], batches, Clock(state.step, state.images_seen))
            counts = [len(images) for images, _ in batches]
            stats |= generator_step(game, both["generator"], counts, Clock(state.step, state.images_seen))
            losses += [stats["loss_d"], stats["loss_g"], stats["logit_real"]]
            state.step += 1
        found = {f"{m}.{name}": t for m, module in game.modules.items() for name, t in module.state_dict().items()}
        if distributed.rank() == 0:
            save_file({n: t.contiguous() for n, t in found.items()} | {"losses": torch.stack(losses)}, out)
        others = distributed.all_gather_object({name: tensor.sum().item() for name, tensor in found.items()})
        assert all(other == others[0] for other in others), "the processes differ"
        return 0

    torch.set_default_dtype(torch.float64)
    sys.exit(launch.launch(three_steps, ["train", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("transfer", ["none", "minegan"])
def test_two_processes_of_8_do_what_one_of_16_does(place, transfer):
    script = place / "three_steps.py"
    script.write_text(textwrap.dedent(THREE_STEPS))
    source = str(HERE / "golden" / "biggan-32") if transfer != "none" else ""
    for processes in (1, 2):
        done = ranks(processes, [str(script), f"{transfer}{processes}.safetensors", transfer, source], place)
        assert done.returncode == 0, done.stderr
    one, two = (load_file(place / f"{transfer}{processes}.safetensors") for processes in (1, 2))
    assert one.keys() == two.keys()
    for name, expected in one.items():
        assert expected.dtype == torch.float64
        worst = (two[name] - expected).abs().max() / expected.abs().max().clamp(min=1e-3)
        assert worst < 1e-6, (name, worst)


TRAIN = [
    "-m", "fewgan", "train", "--size", "32", "--biggan-width", "4", "--aug", "diffaugment", "--cr", "--steps", "4",
    "--sample-every", "2", "--save-every", "2", "--batch-size", "4", "--d-steps", "1", "--device", "cpu",
]  # fmt: skip


def test_the_commands_in_two_processes_and_a_resume_in_one(place):
    done = torchrun(2, TRAIN, place)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Run: ") == 1
    folder = place / "runs" / "00001-dataset-biggan-diffaugment-cr"
    assert [path.name for path in (place / "runs").glob("0*")] == [folder.name]
    assert [step for step, _ in run.checkpoints(folder)] == [2, 4]
    lines = run.read_metrics(folder)
    assert [(line["step"], line["images_seen"]) for line in lines] == [(2, 8), (4, 16)]

    done = ranks(1, ["-m", "fewgan", "train", "--resume", str(folder), "--steps", "6"], place)
    assert done.returncode == 0, done.stderr
    # A damaged checkpoint is set aside once, by one process, before any of the others reads it.
    newest = run.checkpoints(folder)[-1][1]
    newest.write_bytes(newest.read_bytes()[:-1000])
    done = ranks(2, ["-m", "fewgan", "train", "--resume", str(folder), "--steps", "8"], place)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("resuming from the checkpoint before it, step 4 instead of 6") == 1
    assert newest.with_suffix(".damaged").exists()
    assert [line["images_seen"] for line in run.read_metrics(folder)] == [8, 16, 24, 32]


FID = """
    import sys
    from pathlib import Path

    import torch
    from fewgan.scoring import fid
    from fewgan.cli import launch
    from fewgan.screen import Screen

    class Means(torch.nn.Module):
        dim, score_name = 48, "distance of means"
        def forward(self, images):
            return torch.nn.functional.adaptive_avg_pool2d(images.float(), 4).flatten(1)

    def score(arguments, speaks):
        report = fid.score(Path(arguments[1]), count=70, features=Means(), out=Path(arguments[2]),
                           screen=Screen(quiet=True), device="cpu")
        print(len(report.rows))
        return 0

    sys.exit(launch.launch(score, ["fid", *sys.argv[1:]]))
"""


def test_scores_do_not_depend_on_the_number_of_processes(place, tmp_path, monkeypatch):
    made = ranks(1, [*TRAIN, "--steps", "1", "--out", "scored"], place)
    assert made.returncode == 0, made.stderr
    (folder,) = (place / "scored").glob("0*")
    (place / "score.py").write_text(textwrap.dedent(FID))
    found = []
    for processes in (2, 1):
        monkeypatch.setitem(ALONE, "XDG_CACHE_HOME", str(tmp_path / str(processes)))
        done = ranks(processes, ["score.py", str(folder), f"fid{processes}"], place)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "1\n"
        report = json.loads((place / f"fid{processes}" / "scores.json").read_text())
        found.append({name: value for name, value in report.items() if name not in ("seconds", "files")})
    assert found[0] == found[1]
    assert (place / "fid1" / "nearest.png").read_bytes() == (place / "fid2" / "nearest.png").read_bytes()


FAILING = """
    import os, signal, sys
    from fewgan import distributed
    from fewgan.cli import commands as cli
    from fewgan.training import batches as feed
    from fewgan.cli import launch
    from fewgan.plugin import FewganError

    real = feed.batch
    def failing(work):
        if work.state.step == 1 and distributed.rank() == 1:
            if sys.argv[1] == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise FewganError("photo 7 has gone")
        return real(work)
    feed.batch = failing
    sys.exit(launch.launch(cli.run, sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("how", "message"),
    [("raises", "photo 7 has gone"), ("killed", "another process of this command exited unexpectedly")],
)
def test_a_process_that_fails_ends_all_with_one_message(place, how, message):
    (place / "failing.py").write_text(textwrap.dedent(FAILING))
    done = ranks(2, ["failing.py", how, *TRAIN[2:], "--out", how], place)
    assert done.returncode != 0
    assert done.stderr.count("Error: ") == 1 + done.stderr.count("ChildFailedError: ")
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch-size", "5"], "--batch-size 5: must be divisible by the number of processes (2)"),
        (["nowhere"], "nowhere is not a dataset"),
        (["--steps", "none"], "Invalid value for '--steps'"),
    ],
)
def test_wrong_use_is_said_once(place, arguments, message):
    done = ranks(2, [*TRAIN, *arguments], place)
    assert done.returncode != 0
    assert done.stderr.count(message) == 1


def test_a_signal_stops_all_after_the_same_step_and_saves(place):
    with Job([*TRAIN, "--steps", "100000", "--out", "stopped"], place, environment=ALONE, processes=2) as job:
        while not (metrics := list(place.glob("stopped/*/metrics.jsonl"))):
            assert job.poll() is None
            time.sleep(0.2)
        job.send_signal(signal.SIGTERM)
        stderr = job.communicate(timeout=60)[1]
    assert job.returncode != 0
    assert stderr.count("stopped by SIGTERM at step") == 1
    (step, _) = run.checkpoints(metrics[0].parent)[-1]
    assert f"at step {step}, saved" in stderr


def test_other_commands_run_once(place):
    done = ranks(2, ["-m", "fewgan", "plugins"], place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("diffaugment") == 1
