"""Run folders for the tests of `fewgan report`, made without a training."""

import json
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

EVIL = (
    "</script><script>window.pwned=1</script>",
    '"><img src=x onerror="window.pwned=2">',
    "'-window.pwned=3-'",
    "<!--<script>",
    "${window.pwned=4}",
    "javascript:window.pwned=5",
    "</style><svg onload=window.pwned=6>",
    "&lt;script&gt;window.pwned=7&lt;/script&gt;",
    "\u2028window.pwned=8\u2029",
    "__proto__",
)


def choice(kind, name, **options):
    return {"kind": kind, "name": name, "package": "fewgan", "version": "0.1.0", "options": options}


def config(**changes):
    asked = {
        "data": "my photos",
        "out": "runs",
        "source": "embedded",
        "architecture": choice("architectures", "biggan", width=None, latent_dim=120),
        "transfer": choice("transfers", "minegan", miner_steps=300, learning_rate=None),
        "augmentation": choice("augmentations", "diffaugment", policy="color,translation,cutout"),
        "regularizers": [choice("regularizers", "cr", weight=5.0)],
        "steps": 400,
        "flip": False,
        "sample_every": 200,
        "seed": 3,
    }
    facts = {"format": 1, "fewgan": "0.1.0", "torch": "2.14", "size": 32, "photos": 100, "batch_size": 16}
    facts |= {"lr_g": 1e-4, "lr_d": 2e-4, "precision": "bf16", "device": "auto", "loss": "hinge"}
    return {**asked, **facts, "asked": asked, **changes}


def lines(steps=400, every=10):
    for step in range(every, steps + 1, every):
        real, fake = math.sin(step / 50), -math.cos(step / 70)
        line = {"format": 1, "step": step, "images_seen": 16 * step, "loss_d": 2 - real, "loss_g": 1 - fake}
        line |= {"logit_real": real, "logit_fake": fake, "logit_gap": real - fake, "seconds_per_step": 0.5}
        line |= {"learning_rates": {"generator": [1e-4, 5e-4]}, "peak_memory_bytes": 10**9, "lecam.ema_real": real}
        if step % 100 == 0:
            line |= {"kid": 0.3 - 0.2 * math.sin(step / 150), "sample_spread": 0.8, "leak": 0.1}
        if step == 300:
            line["signs"] = ["samples-alike"]
        yield line


def row(**changes):
    names = "frechet_distance kid kid_deviation precision recall density coverage authentic vendi_ratio"
    numbers = dict.fromkeys(names.split(), 0.5)
    return {"against": "train", "truncation": None, "step": None, **numbers, "count": 64, "real_count": 10, **changes}


def scores(rows, name="random-64-seed0", **changes):
    about = {"samples": 1.0, "photos": 1.0, "closer": 0.4, "copies": 0.0}
    facts = {"settings": name, "score_name": "FID", "chosen_by": "KID against train", "notes": ["a note"]}
    return {"format": 1, **facts, "memorising": about, "rows": rows, **changes}


def picture(path: Path, seed=0, size=(132, 66)):
    path.parent.mkdir(parents=True, exist_ok=True)
    small = (size[1] // 12, size[0] // 12, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, small, dtype=np.uint8)
    Image.fromarray(pixels).resize(size).save(path)


def huge(path: Path, width: int, height: int):
    """A PNG that says it has so many pixels, in few bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1_000_000))), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def write(folder: Path, record=None, metrics=None, steps=(0, 200, 400)) -> Path:
    """A run with samples, photos, a truncation sweep and nearest photos."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(record or config()))
    metrics = lines() if metrics is None else metrics
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    (folder / "generator.safetensors").touch()
    for step in steps:
        picture(folder / "samples" / f"{step:06d}.png", step)
    picture(folder / "real.png", 1)
    picture(folder / "fid" / "nearest.png", 2, (300, 300))
    sweep = scores([row(truncation=value, kid=0.1 + (value - 0.6) ** 2) for value in (0.2, 0.4, 0.6, 0.8)])
    (folder / "fid" / "scores.json").write_text(json.dumps(sweep))
    return folder


def write_evil(folder: Path) -> Path:
    """A run that tries to run script from every name and value that a page shows."""
    texts = " ".join(EVIL)
    plugins = [choice("regularizers", text, **{text: text}) for text in EVIL]
    changes = dict.fromkeys(("data", "source", "precision", "device", "loss", "fewgan", "torch", "machine"), texts)
    record = config(
        regularizers=plugins, no_regularizers=list(EVIL), architecture=choice("architectures", texts), **changes
    )
    record["asked"] = {**record, "asked": None}
    metrics = list(lines())
    for index, text in enumerate(EVIL):
        for line in metrics:
            line[text] = line[f"{text}.{text}"] = line["step"] * index
    metrics[-1]["signs"] = list(EVIL)
    write(folder, record, metrics)
    rows = [row(truncation=value, against=text) for text in EVIL for value in (0.5, 1.0)]
    for index, text in enumerate(EVIL):
        name = text.replace("/", "_")
        facts = scores(rows, text, score_name=text, chosen_by=text, notes=list(EVIL), memorising={text: text})
        if index < 3:
            place = folder / "fid" / f"{index}{name}"
            place.mkdir()
            (place / "scores.json").write_text(json.dumps(facts))
        picture(folder / "samples" / f"{name}.png")
        (folder / "samples" / f"{600 + index:06d}.png").write_text(text)
    return folder
