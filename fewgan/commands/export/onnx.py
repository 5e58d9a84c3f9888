"""A generator as an ONNX file, by torch.onnx, checked with onnxruntime before the file gets its name."""

from __future__ import annotations

import json
import math
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fewgan.commands.export.tracing import EXAMPLE, Whole, traced
from fewgan.plugin import FewganError, UsageError

if TYPE_CHECKING:
    from fewgan.plugin import Screen

OPSET = 20
CHECKED = 8  # latents
TOLERANCE = 1e-4  # between float32 on two engines, of images in [-1, 1]
KEY = "fewgan"
"""In the file's metadata: the facts, as JSON."""


def write(model: Any, path: Path, *, truncation: float | None, screen: Screen) -> dict[str, Any]:
    """Writes the file and returns its facts.

    Inputs: z float32 [batch, Z] and, with several classes, labels int64 [batch]; output: images float32
    [batch, 3, S, S], about [-1, 1]. The facts, JSON in the file's metadata under `fewgan`: model, architecture, size,
    latent_dim, classes, class_names, opset, truncation, licences, crop, aspect, largest_difference.
    Raises UsageError where the packages are missing or the generator cannot be traced, FewganError where onnxruntime
    computes other images.
    """
    _need_packages()
    generator = model.generator
    if truncation is not None and not hasattr(generator, "sample"):
        raise UsageError(
            "--truncation: this generator has none of its own; draw z truncated for the ONNX model instead"
        )
    classes = generator.classes if generator.classes > 1 else 0
    whole = Whole(model.to("cpu"), truncation).eval()
    z, labels = _latents(generator, classes, CHECKED)
    screen.note(f"Exporting {model.name} to ONNX, opset {OPSET}")
    program = _program(whole, z[:EXAMPLE], None if labels is None else labels[:EXAMPLE], model.architecture.name)
    facts: dict[str, Any] = {
        "model": model.name,
        "architecture": model.architecture.name,
        "size": generator.size,
        "latent_dim": generator.latent_dim,
        "classes": classes,
        "class_names": list(model.classes),
        "opset": OPSET,
        "truncation": truncation,
        **{name: model.config.get(name) for name in ("licences", "crop", "aspect")},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as temporary:
        file = Path(temporary) / path.name
        program.save(file)
        facts["largest_difference"] = largest_difference(whole, file, z, labels)
        program.model.metadata_props[KEY] = json.dumps(facts)
        program.save(file)
        for part in sorted(file.parent.iterdir(), reverse=True):  # above 2 GB the weights are in a second file
            os.replace(part, path.parent / part.name)
    return facts


def _need_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"--to onnx: needs {error.name or 'onnx'}; run pip install onnx onnxscript onnxruntime"
        ) from None


def _latents(generator: Any, classes: int, count: int) -> tuple[Tensor, Tensor | None]:
    random = torch.Generator().manual_seed(0)
    drawn = getattr(generator, "latents", None)
    z = torch.randn(count, generator.latent_dim, generator=random) if drawn is None else drawn(count, random)
    return z, torch.arange(count) % classes if classes else None


def _program(whole: Whole, z: Tensor, labels: Tensor | None, name: str) -> Any:
    from onnx_ir import Shape

    names = ["z"] if labels is None else ["z", "labels"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the exporter's own insides
            program = torch.onnx.export(
                traced(whole, z, labels), dynamo=True, opset_version=OPSET, input_names=names,
                output_names=["images"], verbose=False,
            )  # fmt: skip
    except Exception as error:  # of the tracer, the decompositions, the translation; each has its own
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UsageError(f"--to onnx: the generator of {name} cannot be exported ({reason[:200]})") from error
    assert program is not None
    for value in (*program.model.graph.inputs, *program.model.graph.outputs):
        value.shape = Shape(["batch", *list(value.shape or ())[1:]])
    return program


def largest_difference(whole: Whole, file: Path, z: Tensor, labels: Tensor | None) -> float:
    """Between the images of the file in onnxruntime and of the module. Raises FewganError above 1e-4.

    One picture alone is computed too: a batch that was not traced.
    """
    import onnxruntime

    # Its own messages go to stderr: none below errors.
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    given = {"z": z.numpy()} | ({} if labels is None else {"labels": labels.numpy()})
    with torch.no_grad():
        expected = whole(z, labels)
    largest = 0.0
    for count in (len(z), 1):
        found = torch.from_numpy(session.run(None, {name: value[:count] for name, value in given.items()})[0])
        if found.shape != expected[:count].shape:
            raise FewganError(f"--to onnx: onnxruntime gives images {list(found.shape)} for {count} latents")
        largest = max(largest, float((found - expected[:count]).abs().max()))
    if not (math.isfinite(largest) and largest < TOLERANCE):
        raise FewganError(
            f"--to onnx: onnxruntime's images differ from fewgan's by {largest:.2g}, more than {TOLERANCE:g}"
        )
    return largest
