"""Pictures from an ONNX file of `fewgan export`, without torch. python examples/onnx.py FILE.onnx [COUNT [FOLDER]]"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

file, count, folder = [*sys.argv[1:], *["", "16", "pictures"][len(sys.argv) - 1 :]]
session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
facts = json.loads(session.get_modelmeta().custom_metadata_map["fewgan"])
random = np.random.default_rng(0)
inputs = {"z": random.standard_normal((int(count), facts["latent_dim"]), dtype=np.float32)}
if facts["classes"]:
    inputs["labels"] = random.integers(facts["classes"], size=int(count))
(images,) = session.run(["images"], inputs)  # [count, 3, side, side], about -1 to 1
Path(folder).mkdir(parents=True, exist_ok=True)
for index, image in enumerate(np.clip(images * 127.5 + 128, 0, 255).astype(np.uint8)):
    Image.fromarray(image.transpose(1, 2, 0)).save(Path(folder) / f"{index:06d}.png")
