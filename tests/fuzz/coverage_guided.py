"""Coverage-guided fuzzing of the readers of datasets, configs and safetensors files; needs `pip install atheris`.

    python tests/fuzz/coverage_guided.py -max_total_time=600

What a reader raises beside FewganError ends it, and the input is kept as crash-… in the current folder.
"""

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fewgan", "json", "safetensors"]):
    from fewgan import run, storage
    from fewgan.photos import dataset
    from fewgan.training.config import Config

from fewgan.plugin import FewganError

PLACE = Path(tempfile.mkdtemp(prefix="fewgan-fuzz-"))


def a_dataset(data: bytes) -> None:
    (PLACE / "dataset.json").write_bytes(data)
    dataset.load(PLACE)


def the_images_of_a_dataset(data: bytes) -> None:
    facts = b'{"format":1,"count":1,"size":1,"classes":[],"fingerprint":"x","images":'
    (PLACE / "dataset.json").write_bytes(facts + b'[{"name":"a","label":0,"held_out":false}]}')
    (PLACE / "images.safetensors").write_bytes(data)
    dataset.load(PLACE)


def a_config(data: bytes) -> None:
    (PLACE / "config.json").write_bytes(data)
    Config.from_dict(run.read_config(PLACE), PLACE / "config.json")


def tensors(data: bytes) -> None:
    (PLACE / "tensors.safetensors").write_bytes(data)
    storage.read_tensors(PLACE / "tensors.safetensors")


def a_header(data: bytes) -> None:
    tensors(len(data).to_bytes(8, "little") + data + bytes(8))


def metrics(data: bytes) -> None:
    (PLACE / "metrics.jsonl").write_bytes(data)
    run.read_metrics(PLACE)


READERS = (a_dataset, the_images_of_a_dataset, a_config, tensors, a_header, metrics)


def one_input(data: bytes) -> None:
    if data:
        with suppress(FewganError):
            READERS[data[0] % len(READERS)](data[1:])


if __name__ == "__main__":
    atheris.Setup([*sys.argv, f"-artifact_prefix={os.getcwd()}/"], one_input)
    atheris.Fuzz()
