"""Pictures from an ONNX file of `fewgan export`, without torch. python examples/onnx.py FILE.onnx [COUNT [FOLDER]]"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image


def shaped(square: Image.Image) -> Image.Image:
    """In the shape of the photos: `prepare --crop stretch` squeezed them, and `--crop fit` padded them."""
    side, aspect = square.width, facts["aspect"] or 1.0  # width by height
    if facts["crop"] == "stretch":
        return square.resize((round(side * max(aspect, 1)), round(side * max(1 / aspect, 1))))
    if facts["crop"] == "fit":
        width, height = max(1, round(side * min(aspect, 1))), max(1, round(side / max(aspect, 1)))
        left, top = (side - width) // 2, (side - height) // 2
        return square.crop((left, top, left + width, top + height))
    return square


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
    shaped(Image.fromarray(image.transpose(1, 2, 0))).save(Path(folder) / f"{index:06d}.png")
