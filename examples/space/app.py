"""A page that shows a generator. MODEL: hf:owner/name, a run or generator.safetensors; the packaged one if not set."""

import os

import gradio
import torch

import fewgan

model = fewgan.load(os.environ.get("MODEL", "embedded"))
names = list(model.classes)
truncates = model.config.get("truncates") is not False


def draw(seed: float, truncation: float, kind: str) -> list:
    """Nine pictures; the same three settings give the same ones."""
    labels = torch.full((9,), names.index(kind)) if kind in names else None
    images = model.shaped(model.sample(9, seed=int(seed), truncation=truncation if truncates else None, labels=labels))
    return [(image.permute(1, 2, 0).numpy(), f"{index}") for index, image in enumerate(images)]


with gradio.Blocks(title=model.name) as page:
    gradio.Markdown(f"# {model.name}\n{model.generator.size} px, made with [fewgan](https://github.com/fewgan/fewgan)")
    with gradio.Row():
        seed = gradio.Number(0, label="Seed", precision=0, minimum=0)
        lower = "Truncation: lower is more typical, higher more varied"
        truncation = gradio.Slider(0.1, 2, 0.7, label=lower, visible=truncates)
        kind = gradio.Dropdown(["any", *names], value="any", label="Class", visible=bool(names))
    gallery = gradio.Gallery(columns=3, label="Samples")
    gradio.on([page.load, seed.change, truncation.release, kind.change], draw, [seed, truncation, kind], gallery)

if __name__ == "__main__":
    page.launch()
