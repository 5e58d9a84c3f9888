"""The table of all hooks in plugins/README.md: `python tests/hooks.py` writes it, and a test compares it.

Each hook names the functions of fewgan that call it or ask for it; the test looks into them for its name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

README = Path(__file__).parents[1] / "plugins" / "README.md"
START, END = "<!-- written by tests/hooks.py -->\n", "<!-- end -->\n"


@dataclass(frozen=True)
class Hook:
    """kind: of the object that has it. form: as a plugin writes it.

    callers: functions of fewgan, as "file:function"; or, without a colon, who else asks for it.
    """

    kind: str
    form: str
    callers: tuple[str, ...]
    when: str
    optional: bool = True

    @property
    def name(self) -> str:
        return self.form.split("(")[0].split(":")[0].split(" ")[0]


def may(kind: str, form: str, callers: str, when: str) -> Hook:
    return Hook(kind, form, tuple(callers.split()) if ":" in callers else (callers,), when)


def must(kind: str, form: str, callers: str, when: str) -> Hook:
    return replace(may(kind, form, callers, when), optional=False)


PLAYERS, STEPS, LOOP = "training/players.py", "training/steps.py", "training/loop.py"
SESSION, GENERATE, MODEL = "training/session.py", "sampling/generate.py", "sources/model.py"
LOAD, EXTRACT, FID = "sources/load.py", "scoring/extract.py", "scoring/fid.py"
SCORER = "scoring/scorer.py"
ANY, PLUGIN, GROUP, G, D = "every module", "`Plugin`", "`Group`", "generator", "discriminator"
OTHERS = "transfers, the conformance kit"
TRANSFER, AUGMENTATION, REGULARIZER, FEATURES = "transfer", "augmentation", "regularizer", "features"
TRACKER, COMMAND, TICKS = "tracker", "command", "training/ticks.py"

HOOKS = (
    must(PLUGIN, "build(options, …)", "registry.py:networks registry.py:build",
         "a new run, a resume, sampling and scoring; arguments: see above"),
    may(PLUGIN, "needs_source: bool = False", "training/settle.py:with_source",
        "transfers; a new run: without `--source`, the default source is loaded"),
    may(PLUGIN, "read(files) → Pretrained or None", f"{LOAD}:_recognised",
        "architectures; weights that fewgan did not write; every architecture is asked, by name"),
    may(PLUGIN, "write(networks) → {file: state dict}", f"{MODEL}:export",
        "architectures; `fewgan.load(…).export(folder)`"),
    may(PLUGIN, "sources: str or None = None", "sources/known.py:_tables",
        "architectures; a name given to `--source`, and what a file's name says of its licence"),
    may(PLUGIN, "layout: str or None = None", "commands/export/command.py:export",
        "architectures; what `write` writes, for `fewgan export --to`"),
    may(ANY, "advance()", f"layers.py:advance {STEPS}:_begin",
        "before each optimizer step of D and of G, once; not below a module that has one itself"),
    may(ANY, "rows() → [classes, …]", "sources/transfer.py:copy_weights",
        "what it gives for each class, where that depends on their number; a run on other classes"),
    may(ANY, "set_rows(rows)", "sources/transfer.py:copy_weights", "after it: has it give these, for its own classes"),
    must(G, "size: int", "training/settle.py:with_size", "a run with a source takes its size"),
    must(G, "classes: int", f"{PLAYERS}:draw {GENERATE}:pictures", "labels are drawn below it; 0: no classes"),
    must(G, "latent_dim: int", f"{PLAYERS}:draw {GENERATE}:_latents", "latents are drawn"),
    must(G, "condition_dim: int", OTHERS, "any time; 0 is allowed"),
    must(G, "embed(labels [N]) → condition [N, C]", f"{PLAYERS}:generate {MODEL}:conditions",
         "before each forward, unless the transfer has a mapper"),
    must(G, "forward(z [N, Z], condition [N, C]) → images [N, 3, S, S]", f"{PLAYERS}:generate {MODEL}:images",
         "each micro-batch of D (without gradient) and of G; sampling"),
    must(G, "blocks() → modules", OTHERS, "any time; from latent to image, every parameter in exactly one"),
    may(G, "moving: tuple of names = ()", f"{STEPS}:_all_reduce_moving",
        "after each optimizer step, with several processes: these buffers are averaged over them"),
    may(G, "latents(count, random) → z [count, Z]", f"{PLAYERS}:draw {GENERATE}:_latents",
        "in place of N(0, 1): each micro-batch, and pictures of `sample` and `fid`"),
    may(G, "mapped: bool", f"{PLAYERS}:assemble",
        "True where a mapper comes before the network, which then draws no latents of its own"),
    may(G, "sample(z, condition, truncation) → images", f"{MODEL}:images",
        "in place of forward, with `--truncation`; z is not truncated then"),
    may(G, "from_w(w [N, W] or [N, layers, W]) → images", "sampling/stored.py:draw",
        "`--latents` of `sample` with a file of w, and projections"),
    may(G, "w_shape: (layers, W)", "sampling/stored.py:check", "`--latents` of `sample` with a file of w"),
    may(G, "mapping(z, condition) → w [N, W]", "`fewgan project`", "what latents w are like, where there is `from_w`"),
    may(G, "standing_statistics(batches of (z, condition))", f"{GENERATE}:standing_statistics",
        "`--standing-stats` of `sample` and `fid`"),
    must(D, "size: int", OTHERS, "any time"),
    must(D, "forward(images, labels or None) → logits [N] or [N, L]", f"{PLAYERS}:judge",
         "each micro-batch of D (photos and fakes in one batch, unless `separate`) and of G (fakes)"),
    must(D, "features(images) → [N, F]", "D's own forward, plugins", "each forward; through `step.discriminator`"),
    must(D, "head(features, labels or None) → logits", "D's own forward, plugins",
         "each forward; through `step.discriminator`"),
    must(D, "blocks() → modules", OTHERS, "any time; from image to logit, every parameter in exactly one"),
    may(D, "separate: bool = False", f"{STEPS}:_discriminator_forward",
        "True: fakes and photos are judged in two forwards, in this order"),
    must(TRANSFER, "conditional: bool", f"{PLAYERS}:conditional", "each step; False: labels are None for D"),
    must(TRANSFER, "mapper: module or None", f"{PLAYERS}:generate training/average.py:__init__ {MODEL}:conditions",
         "(z, labels) → (z, condition) before each forward of G; averaged and stored with G"),
    may(TRANSFER, "start(networks, sources)", f"{SESSION}:_state",
        "once, in a new run, after the source's weights are copied into the networks"),
    may(TRANSFER, "keeps_source: bool = False", f"{PLAYERS}:keeping", "True: `start` on a resume, too"),
    may(TRANSFER, "groups() → [Group]", f"{PLAYERS}:groups", "once, when the optimizers are made"),
    may(GROUP, "schedule(index, steps) → factor", f"{PLAYERS}:apply_schedules",
        "before each step; multiplied into the rate of this group"),
    may(TRANSFER, "schedule(images_seen, planned_images) → factor", f"{PLAYERS}:apply_schedules",
        "as for a regularizer"),
    may(TRANSFER, "trainable(index, steps) → parameters or None", "training/checked.py:trainable",
        "before each step; the rest is frozen for that step"),
    may(TRANSFER, "discriminator_loss(step) → scalar", f"{STEPS}:discriminator_step", "as for a regularizer"),
    may(TRANSFER, "generator_loss(step) → scalar", f"{STEPS}:generator_step", "as for a regularizer"),
    must(AUGMENTATION, "forward(images) → images", f"{PLAYERS}:augment",
         "each micro-batch of D (photos and fakes in one batch) and of G (fakes)"),
    may(AUGMENTATION, "observe(logits_real, images_seen)", f"{STEPS}:_observe",
        "once per optimizer step of D, logits of all processes and micro-batches"),
    may(REGULARIZER, "start(networks, sources)", f"{SESSION}:_state",
        "as for a transfer; not without a source"),
    may(REGULARIZER, "keeps_source: bool = False", f"{PLAYERS}:keeping", "True: `start` on a resume, too"),
    may(REGULARIZER, "every: int = 1", f"{STEPS}:_with_terms", "losses on steps that it divides, multiplied by it"),
    may(REGULARIZER, "images(real, fake, labels, fake_labels) → the same four", f"{STEPS}:_discriminator_forward",
        "each micro-batch of D, before the augmentation"),
    may(REGULARIZER, "logits(step) → (real, fake)", f"{STEPS}:_discriminator_forward",
        "each micro-batch of D, in place of D's forward, with `adversarial = False`"),
    may(REGULARIZER, "discriminator(images, labels or None) → logits", f"{PLAYERS}:judge",
        "whenever a plugin calls `step.discriminator(…)`, in place of D, with `adversarial = False`"),
    may(REGULARIZER, "schedule(images_seen, planned_images) → factor", f"{PLAYERS}:apply_schedules",
        "before each step; multiplied into all learning rates"),
    may(REGULARIZER, "observe(step)", f"{STEPS}:_observe",
        "once per optimizer step of D, after the forward of the last micro-batch and before its loss"),
    may(REGULARIZER, "discriminator_loss(step) → scalar", f"{STEPS}:discriminator_step",
        "each micro-batch of D; added to D's loss"),
    may(REGULARIZER, "generator_loss(step) → scalar", f"{STEPS}:generator_step",
        "each micro-batch of G; added to G's loss"),
    may(REGULARIZER, "needs_real: bool = False", f"{PLAYERS}:needs_real {LOOP}:_loop",
        "True: photos and their labels in G's steps, too"),
    may(REGULARIZER, "adversarial: bool = True", "training/checked.py:brings_losses",
        "False: no adversarial loss and no forward of D by the core, in either step"),
    must(FEATURES, "forward(uint8 [N, 3, H, W]) → float32 [N, dim]", f"{SCORER}:__call__",
         "each batch of pictures and photos"),
    must(FEATURES, "dim: int", f"{SCORER}:__call__ {EXTRACT}:extract", "before the first batch"),
    must(FEATURES, "score_name: str", f"{FID}:score",
         "the name of the Fréchet distance; FID only for the standard weights"),
    may(FEATURES, "identity: str", f"{SCORER}:identity {SCORER}:cache_key",
        "scores are marked as not comparable if D learned from the same weights"),
    may(FEATURES, "maps(float [N, 3, H, W]) → [maps [N, C, H, W]]", "`fewgan project`",
        "each step of a projection, with gradient; images in [0, 255]"),
    must(TRACKER, "start(record)", f"{TICKS}:__enter__", "once, before the first step of a run or a resume"),
    must(TRACKER, "line(metrics)", f"{TICKS}:tick", "each line of metrics.jsonl, every 10 steps"),
    must(TRACKER, "pictures(step, uint8 [N, 3, S, S])", f"{TICKS}:tick", "every `--sample-every` steps"),
    must(TRACKER, "end(summary)", f"{TICKS}:__exit__", "once, whatever ends the training"),
    must(COMMAND, "run(options, screen) → result", "cli/plugin_commands.py:_command",
         "`fewgan NAME`; the result is printed, as JSON with `--json`"),
)  # fmt: skip


def table() -> str:
    """The table as Markdown."""
    lines = ["| of | hook | called by | when |", "|---|---|---|---|"]
    for hook in HOOKS:
        callers = "<br>".join(
            "`{1}` in `{0}`".format(*caller.split(":")) if ":" in caller else caller for caller in hook.callers
        )
        form = f"`{hook.form}`" if hook.optional else f"**`{hook.form}`**"
        lines.append(f"| {hook.kind} | {form} | {callers} | {hook.when} |")
    return "\n".join(lines) + "\n"


def written(text: str) -> str:
    """The README's text with the table of now."""
    before, rest = text.split(START)
    return before + START + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
