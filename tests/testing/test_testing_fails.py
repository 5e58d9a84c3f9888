# ruff: noqa: E501, PLR0917
"""Every check of the conformance kit fails on a plugin that breaks its rule, and says which rule."""

import pytest
from kits import BUILDS, FORGETFUL, FROM_W, GOOD, HEAD, MAPPED, MAPPER, SERVING, TAIL, TRANSFER, fails

from fewgan.testing import ArchitectureTests, AugmentationTests, FeaturesTests, RegularizerTests, TransferTests

LOADS, HELP = "test_it_loads_and_its_options_follow_the_rules", "test_its_options_are_in_help"
SEED, STATE = "test_what_it_makes_depends_on_the_seed_alone", "test_its_state_is_all_in_its_state_dict"
TRAINING = RESUME = "test_twenty_steps_of_training_and_a_resume_in_the_middle"
SEEDS, BFLOAT16 = "test_it_sets_no_seed", "test_a_few_steps_in_bfloat16"
LOSSES, HOOKS = "test_losses_are_finite_scalars_with_gradient", "test_attributes_and_images"
PRECISION = "test_double_precision_and_bfloat16"
FORWARD = "def forward(self, images):\n    "
LOSS = "def discriminator_loss(self, step):\n    "
REPLACING = "adversarial = False\ndef discriminator_loss(self, step):\n    return step.discriminator(step.real, step.labels).mean()\n"
BOTH = (
    REPLACING + "def generator_loss(self, step):\n    return step.discriminator(step.fake, step.fake_labels).mean()\n"
)
IMAGES = "def images(self, real, fake, labels, fake_labels):\n    "
COUNTING = (
    "def __init__(self):\n    super().__init__()\n    self.count = 0\n"
    "def forward(self, images):\n    self.count += 1\n    return images * (1 + 0.01 * self.count)"
)
MAPS = "test_maps_are_of_each_picture_and_have_a_gradient"
FILES = "test_it_trains_resumes_and_samples_from_its_files"
LAYOUT = "test_a_foreign_layout_goes_there_and_back"
BROKEN = [
    (AugmentationTests, LOADS, {"summary": "two\nlines"}, "summary is one line"),
    (AugmentationTests, LOADS, {"source": HEAD + "plugin = 3"}, "an entry point names a Plugin"),
    (AugmentationTests, HELP, {"source": HEAD.replace("How strong it is", "?") + "class Made(nn.Module):\n    pass\n" + BUILDS[AugmentationTests] + TAIL.format(summary="A", extra="{}")}, "says what it does"),
    (AugmentationTests, SEED, {"body": "def __init__(self):\n    super().__init__()\n    self.p = nn.Parameter(torch.tensor(random.SystemRandom().random()))"}, "the same from the same seed"),
    (AugmentationTests, STATE, {"body": "def __init__(self):\n    super().__init__()\n    self.shift = torch.rand(1)\n" + FORWARD + "return images + self.shift"}, "is in its parameters and buffers"),
    (AugmentationTests, "test_shape_and_type_stay", {"body": FORWARD + "return images[..., 1:]"}, "keeps the shape"),
    (AugmentationTests, "test_shape_and_type_stay", {"body": FORWARD + "return images.double()"}, "keeps the type"),
    (AugmentationTests, "test_shape_and_type_stay", {"body": FORWARD + "return images / 0"}, "is finite"),
    (AugmentationTests, "test_shape_and_type_stay", {"body": FORWARD + "return images.mul_(0.5)"}, "leaves its argument"),
    (AugmentationTests, "test_shape_and_type_stay", {"body": FORWARD + "return (images + 1) * 127.5"}, "images are about [-1, 1]"),
    (AugmentationTests, "test_each_picture_is_changed_by_itself", {"body": FORWARD + "return 0.9 * images + 0.1 * images[torch.randperm(len(images))]"}, "are not mixed"),
    (AugmentationTests, "test_what_learns_is_elsewhere", {"body": "def __init__(self):\n    super().__init__()\n    self.scale = nn.Parameter(torch.ones(1))\n" + FORWARD + "return images * self.scale"}, "no parameters that learn"),
    (AugmentationTests, STATE, {"body": FORWARD + "return images * torch.nan"}, "what it gives is finite"),
    (AugmentationTests, SEED, {"body": "pass", "build": "kept = nn.Linear(2, 2)\ndef build(options, *, size):\n    return kept\n"}, "build makes new modules"),
    (AugmentationTests, "test_gradient_reaches_the_pictures", {"body": FORWARD + "return images.detach()"}, "it is differentiable"),
    (AugmentationTests, "test_gradient_reaches_the_pictures", {"body": FORWARD + "return images * 0"}, "no gradient for some"),
    (AugmentationTests, "test_gradient_reaches_the_pictures", {"body": FORWARD + "return (images - images).sqrt() + images"}, "gradient is finite"),
    (AugmentationTests, "test_reals_and_fakes_are_treated_alike", {"body": FORWARD + "half = len(images) // 2\n    return torch.cat((images[:half] * 0.5, images[half:]))"}, "are changed alike"),
    (AugmentationTests, "test_a_seed_decides", {"body": FORWARD + "return images * random.random()"}, "one seed, two results"),
    (AugmentationTests, PRECISION, {"body": FORWARD + "return images * torch.rand(1, dtype=torch.float64)"}, "it works in"),
    (AugmentationTests, "test_observe_takes_logits_of_any_number", {"body": GOOD[AugmentationTests] + "\ndef observe(self, logits_real, images_seen):\n    return 1"}, "returns nothing"),
    (AugmentationTests, "test_observe_takes_logits_of_any_number", {"body": "def __init__(self):\n    super().__init__()\n    self.register_buffer('p', torch.zeros(1))\ndef observe(self, logits_real, images_seen):\n    self.p /= 0\n" + FORWARD + "return images"}, "stays finite after observe"),
    (AugmentationTests, "test_observe_takes_logits_of_any_number", {"body": GOOD[AugmentationTests] + "\ndef observe(self, logits_real, images_seen):\n    logits_real.zero_()"}, "leaves the logits as they are"),
    (AugmentationTests, SEEDS, {"body": FORWARD + "torch.manual_seed(1)\n    return images + torch.rand(len(images), 1, 1, 1).to(images)"}, "never seeds it"),
    (AugmentationTests, BFLOAT16, {"body": FORWARD + "return images * torch.nan"}, "it trains with --precision bf16"),
    (AugmentationTests, TRAINING, {"body": FORWARD + "return images * torch.nan"}, "a training runs to its end"),
    (AugmentationTests, RESUME, {"body": COUNTING}, "bit for bit"),
    (RegularizerTests, LOSSES, {"body": LOSS + "return step.logits_real"}, "is a scalar Tensor"),
    (RegularizerTests, LOSSES, {"body": LOSS + "return step.logits_real.mean() / 0"}, "is finite"),
    (RegularizerTests, LOSSES, {"body": LOSS + "return step.logits_real.detach().mean()"}, "has a gradient where it is not 0"),
    (RegularizerTests, LOSSES, {"body": LOSS + "return step.fake.requires_grad_().mean()"}, "has a gradient for what learns"),
    (RegularizerTests, LOSSES, {"body": LOSS + "return (step.logits_real - step.logits_real).abs().sqrt().mean()"}, "the gradient of discriminator_loss(step) is finite"),
    (RegularizerTests, LOSSES, {"body": "def generator_loss(self, step):\n    return step.fake"}, "generator_loss(step) is a scalar"),
    (RegularizerTests, LOSSES, {"body": LOSS + "step.real.mul_(0.5)\n    return step.logits_real.mean()"}, "discriminator_loss(step) leaves the tensors of the step"),
    (RegularizerTests, LOSSES, {"body": LOSS + "step.logits_real.data.zero_()\n    return step.logits_real.mean()"}, "discriminator_loss(step) leaves the tensors of the step"),
    (RegularizerTests, LOSSES, {"body": "def generator_loss(self, step):\n    step.z.mul_(2)\n    return step.fake.mean()"}, "generator_loss(step) leaves the tensors of the step"),
    (RegularizerTests, LOSSES, {"body": GOOD[RegularizerTests] + "\ndef observe(self, step):\n    step.logits_fake.zero_()"}, "observe(step) leaves the tensors of the step"),
    (RegularizerTests, LOSSES, {"body": GOOD[RegularizerTests] + "\ndef observe(self, step):\n    return step"}, "observe(step) returns nothing"),
    (RegularizerTests, LOSSES, {"body": LOSS + "return step.no_such_field"}, "AttributeError"),
    (RegularizerTests, LOSSES, {"body": BOTH + "def logits(self, step):\n    return step.real.mean(), step.fake.mean()"}, "each [N] or [N, L] and finite"),
    (RegularizerTests, LOSSES, {"body": BOTH + "def logits(self, step):\n    return step.real"}, "gives those of real and of fake"),
    (RegularizerTests, "test_hooks_leave_the_networks_as_they_are", {"body": "def generator_loss(self, step):\n    step.generator.linear.bias.data.add_(1)\n    return step.fake.mean()"}, "change no weight of G"),
    (RegularizerTests, "test_hooks_leave_the_networks_as_they_are", {"body": LOSS + "advance(step.discriminator)\n    return step.logits_real.mean()"}, "change no weight and no statistic"),
    (RegularizerTests, "test_hooks_leave_the_networks_as_they_are", {"body": LOSS + "loss = step.logits_real.mean()\n    loss.backward(retain_graph=True)\n    return loss"}, "leave .grad alone"),
    (RegularizerTests, HOOKS, {"body": LOSS + "self.images = step.real\n    return step.logits_real.mean()"}, "images cannot be called"),
    (RegularizerTests, "test_hooks_leave_the_networks_as_they_are", {"body": LOSS + "step.discriminator.eval()\n    return step.logits_real.mean()"}, "leave train() and requires_grad"),
    (RegularizerTests, "test_it_holds_none_of_the_networks", {"body": "def __init__(self, networks):\n    super().__init__()\n    self.g = networks.generator\n" + LOSS + "return step.logits_real.mean()", "build": "def build(options, *, networks):\n    return Made(networks)\n"}, "the networks are no modules of it"),
    (RegularizerTests, HOOKS, {"body": "def discriminator_los(self, step):\n    return step.logits_real.mean()"}, "discriminator_los (discriminator_loss?)"),
    (RegularizerTests, HOOKS, {"body": "pass"}, "it has a hook that the core calls"),
    (RegularizerTests, HOOKS, {"body": "every = 0"}, "every is a whole number"),
    (RegularizerTests, HOOKS, {"body": "def schedule(self, images_seen, planned_images):\n    return random.random()"}, "a factor of 0 and more"),
    (RegularizerTests, "test_the_discriminator_in_the_place_of_d", {"body": "adversarial = False\ndef discriminator(self, images, labels):\n    return images.mean()"}, "gives finite logits [N]"),
    (RegularizerTests, "test_the_discriminator_in_the_place_of_d", {"body": "adversarial = False\ndef discriminator(self, images, labels):\n    return images.mean((1, 2, 3))"}, "to what learns in D's step"),
    (RegularizerTests, HOOKS, {"body": "adversarial = 'no'"}, "adversarial is True or False"),
    (RegularizerTests, HOOKS, {"body": "def images(self, real, fake, labels, fake_labels):\n    return real[:2], fake, labels, fake_labels"}, "in their shapes"),
    (RegularizerTests, HOOKS, {"body": IMAGES + "return real.double(), fake.double(), labels, fake_labels"}, "in their shapes and types"),
    (RegularizerTests, HOOKS, {"body": IMAGES + "return 3"}, "gives the four back"),
    (RegularizerTests, HOOKS, {"body": IMAGES + "return real / 0, fake, labels, fake_labels"}, "gives finite images"),
    (RegularizerTests, HOOKS, {"body": IMAGES + "real[:2] = fake[:2]\n    return real, fake, labels, fake_labels"}, "leaves its arguments as they are"),
    (RegularizerTests, HOOKS, {"body": IMAGES + "labels[:] = 0\n    return real, fake, labels, fake_labels"}, "leaves its arguments as they are"),
    (RegularizerTests, HOOKS, {"body": REPLACING}, "brings both losses\n  seen: it has no generator_loss"),
    (RegularizerTests, STATE, {"body": "def __init__(self, networks):\n    super().__init__()\n    self.held = (networks, networks.discriminator.linear.weight.detach().clone())\n" + LOSS + "return (self.held[0].discriminator.linear.weight - self.held[1]).square().mean()", "build": "def build(options, *, networks):\n    return Made(networks)\n"}, "is in its parameters and buffers"),
    (RegularizerTests, SEEDS, {"body": LOSS + "torch.manual_seed(0)\n    return (step.logits_real * torch.rand(4)).mean()"}, "never seeds it"),
    (RegularizerTests, SEEDS, {"body": IMAGES + "torch.manual_seed(0)\n    return real, fake, labels, fake_labels"}, "never seeds it"),
    (RegularizerTests, BFLOAT16, {"body": BOTH + "def discriminator(self, images, labels):\n    return torch.zeros(4).lerp(F.linear(images.flatten(1)[:, :4], torch.eye(4)), 0.5).sum(1)"}, "it trains with --precision bf16"),
    (RegularizerTests, TRAINING, {"body": LOSS + "return step.logits_real.mean() / step.images_seen ** 0 if step.index < 3 else step.real"}, "a training runs to its end"),
    (RegularizerTests, TRAINING, {"body": LOSS + "return step.logits_real.mean() if step.index < 3 else step.missing"}, "seen: AttributeError"),
    (RegularizerTests, RESUME, {"body": "def __init__(self):\n    super().__init__()\n    self.mean = 0.0\n" + LOSS + "self.mean += 0.1\n    return self.mean * step.logits_real.mean()"}, "bit for bit"),
    (TransferTests, "test_its_parts", {"body": "pass", "build": "class Other:\n    pass\ndef build(options, *, networks):\n    return Other()\n"}, "build gives an nn.Module"),
    (TransferTests, "test_its_parts", {"body": TRANSFER.replace("True, None", "1, None")}, "conditional is True or False"),
    (TransferTests, "test_its_parts", {"body": TRANSFER.replace("True, None", "True, 'miner'")}, "mapper is None or"),
    (TransferTests, "test_its_parts", {"body": TRANSFER + "keeps_source = 1"}, "keeps_source is True or False"),
    (TransferTests, "test_its_parts", {"body": TRANSFER + "    self.mapper = Mapper(networks.generator)", "build": MAPPER.format("pass")}, "no attribute of the class hides the module"),
    (TransferTests, SEEDS, {"body": MAPPED, "build": MAPPER.format("torch.manual_seed(0)")}, "never seeds it"),
    (TransferTests, BFLOAT16, {"body": MAPPED, "build": MAPPER.format("torch.zeros(6).lerp(self.linear(z)[0], 0.1)")}, "it trains with --precision bf16"),
    (TransferTests, LOSSES, {"body": TRANSFER + "def generator_loss(self, step):\n    return step.fake.detach().square().mean()"}, "has a gradient where it is not 0"),
    (TransferTests, LOSSES, {"body": TRANSFER + "def discriminator_loss(self, step):\n    return step.logits_real"}, "discriminator_loss(step) is a scalar"),
    (TransferTests, LOSSES, {"extra": "dict(needs_source=True)", "body": TRANSFER + "def start(self, networks, sources):\n    raise ValueError(sources)"}, "start(networks, sources) works"),
    (TransferTests, "test_it_holds_none_of_the_networks", {"body": TRANSFER + "    self.g = networks.generator"}, "the networks are no modules of it"),
    (TransferTests, "test_a_source_may_have_no_discriminator", {"extra": "dict(needs_source=True)", "body": TRANSFER + "def start(self, networks, sources):\n    sources[0].discriminator.state_dict()"}, "sources[0].discriminator is None"),
    (TransferTests, "test_the_mapper_gives_what_the_generator_takes", {"body": TRANSFER.replace(", mapper = True, None", " = True") + "    self.mapper = Mapper()", "build": "class Mapper(nn.Module):\n    def forward(self, z, labels):\n        return z[:, 1:], z[:, :0]\n" + BUILDS[TransferTests]}, "gives z [N, Z] and condition"),
    (TransferTests, "test_what_learns_belongs_to_the_run", {"body": TRANSFER + "def trainable(self, index, steps):\n    return [nn.Parameter(torch.zeros(1))]"}, "others are among them"),
    (TransferTests, "test_what_learns_belongs_to_the_run", {"body": TRANSFER + "def trainable(self, index, steps):\n    return []"}, "nothing learns"),
    (TransferTests, "test_what_learns_belongs_to_the_run", {"body": TRANSFER + "seen = 0\ndef trainable(self, index, steps):\n    self.seen += 1\n    return [*self.held[0].generator.parameters()][: self.seen]"}, "depends on index and steps alone"),
    (TransferTests, "test_what_learns_belongs_to_the_run", {"body": TRANSFER + "def groups(self):\n    return [Group([nn.Parameter(torch.zeros(1))], 0.1)]"}, "groups() names parameters of the networks"),
    (TransferTests, "test_what_learns_belongs_to_the_run", {"body": TRANSFER + "def groups(self):\n    return 2 * [Group([*self.held[0].generator.parameters()], 0.1)]"}, "names no parameter twice"),
    (TransferTests, "test_what_learns_belongs_to_the_run", {"body": TRANSFER + "def groups(self):\n    return [Group([*self.held[0].generator.parameters()], -1.0)]"}, "learning rates of 0 and more"),
    (TransferTests, "test_what_learns_belongs_to_the_run", {"body": TRANSFER + "def groups(self):\n    return [Group([*self.held[0].generator.parameters()], 0.1, 'g')]"}, "network is generator or discriminator"),
    (TransferTests, "test_what_learns_belongs_to_the_run", {"body": TRANSFER + "def groups(self):\n    return [Group([*self.held[0].generator.parameters()], 0.1, schedule=lambda index, steps: 1 - index / steps)]"}, "schedule(index, steps) of a group"),
    (TransferTests, "test_what_learns_belongs_to_the_run", {"body": TRANSFER + "def schedule(self, images_seen, planned_images):\n    return float('inf')"}, "a factor of 0 and more"),
    (TransferTests, "test_the_source_is_where_it_starts", {"extra": "dict(needs_source=True)", "body": TRANSFER + "def start(self, networks, sources):\n    networks.generator.first = nn.Conv2d(6, 6, 3, padding=1)"}, "parameters were replaced"),
    (TransferTests, "test_the_source_is_where_it_starts", {"extra": "dict(needs_source=True)", "body": TRANSFER + "def start(self, networks, sources):\n    nn.init.constant_(networks.generator.linear.bias, torch.nan)"}, "makes finite pictures"),
    (FeaturesTests, "test_shapes_and_types", {"body": "dim, score_name = 5, 'x'\ndef forward(self, images):\n    return images.float().mean((2, 3))"}, "gives float32 [N, dim]"),
    (FeaturesTests, "test_shapes_and_types", {"body": "dim, score_name = 3, 'x'\ndef forward(self, images):\n    return images.double().mean((2, 3))"}, "gives float32"),
    (FeaturesTests, "test_shapes_and_types", {"body": "dim, score_name = 3, 'x'\ndef forward(self, images):\n    return images.float().mean((2, 3)) / 0"}, "features are finite"),
    (FeaturesTests, "test_shapes_and_types", {"body": "dim, score_name = 0, 'x'"}, "dim is a whole number"),
    (FeaturesTests, "test_each_picture_is_looked_at_alone", {"body": "dim, score_name = 3, 'x'\ndef forward(self, images):\n    x = images.float().mean((2, 3))\n    return x - x.mean(0)"}, "do not depend on the others"),
    (FeaturesTests, "test_each_picture_is_looked_at_alone", {"body": "dim, score_name = 3, 'x'\ndef forward(self, images):\n    return torch.ones(len(images), 3)"}, "different pictures have different"),
    (FeaturesTests, MAPS, {"body": GOOD[FeaturesTests] + "\ndef maps(self, images):\n    return images"}, "gives at least one map [N, C, H, W]"),
    (FeaturesTests, MAPS, {"body": GOOD[FeaturesTests] + "\ndef maps(self, images):\n    return [images.mean((2, 3))]"}, "gives at least one map [N, C, H, W]"),
    (FeaturesTests, MAPS, {"body": GOOD[FeaturesTests] + "\ndef maps(self, images):\n    return [images / 0]"}, "maps are finite"),
    (FeaturesTests, MAPS, {"body": GOOD[FeaturesTests] + "\ndef maps(self, images):\n    return [images, images.detach()]"}, "some have no gradient"),
    (FeaturesTests, MAPS, {"body": GOOD[FeaturesTests] + "\ndef maps(self, images):\n    return [images * 0]"}, "none for some pictures"),
    (FeaturesTests, MAPS, {"body": GOOD[FeaturesTests] + "\ndef maps(self, images):\n    return [images + images.mean(0)]"}, "do not depend on the others"),
    (FeaturesTests, "test_weights_are_the_same_in_every_process", {"body": "dim, score_name = 3, 'x'\ndef __init__(self):\n    super().__init__()\n    self.weights = nn.Linear(3, 3)\ndef forward(self, images):\n    return self.weights(images.float().mean((2, 3)))"}, "a generator of their own"),
    (FeaturesTests, "test_shapes_and_types", {"body": GOOD[FeaturesTests].replace("images.float()", "images.copy_(255 - images).float()")}, "leaves its argument as it is"),
    (FeaturesTests, SEEDS, {"body": "dim, score_name = 3, 'x'\ndef __init__(self):\n    super().__init__()\n    torch.manual_seed(0)\n    self.weights = nn.Linear(3, 3)\ndef forward(self, images):\n    return self.weights(images.float().mean((2, 3)))"}, "never seeds it"),
    (FeaturesTests, "test_the_score_has_its_own_name", {"body": "dim, score_name = 3, 'FID'"}, "for the standard weights alone"),
    (FeaturesTests, "test_the_score_has_its_own_name", {"body": "dim, score_name = 3, ''"}, "score_name is one line"),
    (ArchitectureTests, "test_shapes_and_ranges", {"body": "class G(tiny.Generator):\n    def forward(self, z, condition):\n        return super().forward(z, condition) / 0"}, "images are finite"),
    (ArchitectureTests, "test_shapes_and_ranges", {"body": "class G(tiny.Generator):\n    def forward(self, z, condition):\n        return 127.5 * (super().forward(z, condition) + 1)"}, "images are about [-1, 1]"),
    (ArchitectureTests, "test_shapes_and_ranges", {"body": "class G(tiny.Generator):\n    def forward(self, z, condition):\n        return super().forward(z, condition)[..., 1:]"}, "images are [N, 3, S, S]"),
    (ArchitectureTests, "test_shapes_and_ranges", {"body": "class G(tiny.Generator):\n    def embed(self, labels):\n        return super().embed(labels)[:, 1:]"}, "embed(labels [N]) gives"),
    (ArchitectureTests, "test_shapes_and_ranges", {"body": "class G(tiny.Generator):\n    def __init__(self, classes):\n        super().__init__(classes)\n        self.classes = 7"}, "classes is the number asked for"),
    (ArchitectureTests, "test_shapes_and_ranges", {"body": "class D(tiny.Discriminator):\n    def forward(self, images, labels):\n        return super().forward(images, labels) + 1"}, "forward is head of features"),
    (ArchitectureTests, "test_shapes_and_ranges", {"body": "class D(tiny.Discriminator):\n    def head(self, features, labels):\n        return super().head(features, labels).sum()"}, "logits are [N] or [N, L]"),
    (ArchitectureTests, LOADS, {"extra": "dict(sources=3)"}, 'must be "package:file"'),
    (ArchitectureTests, "test_its_table_of_sources_can_be_read", {"extra": "dict(sources='fewgan:no.toml')"}, "package:file of a table"),
    (ArchitectureTests, "test_logits_are_in_the_order_of_the_images", {"body": "class D(tiny.Discriminator):\n    def forward(self, images, labels):\n        logits = super().forward(images, labels)\n        return logits + torch.arange(len(logits))"}, "row i of the logits is of image i"),
    (ArchitectureTests, "test_a_class_of_the_source_keeps_its_values", {"body": "class G(tiny.Generator):\n    def embed(self, labels):\n        return super().embed(labels) / max(self.classes, 1) ** 0.5"}, "gives the same images"),
    (ArchitectureTests, "test_a_class_of_the_source_keeps_its_values", {"body": "class D(tiny.Discriminator):\n    def head(self, features, labels):\n        return super().head(features, labels) * self.classes"}, "gives the same logits"),
    (ArchitectureTests, "test_gradients_are_finite_and_reach_every_parameter", {"body": "class G(tiny.Generator):\n    def __init__(self, classes):\n        super().__init__(classes)\n        self.unused = nn.Linear(2, 2)"}, "every parameter of G takes part"),
    (ArchitectureTests, "test_gradients_are_finite_and_reach_every_parameter", {"body": "class D(tiny.Discriminator):\n    def features(self, images):\n        h = super().features(images)\n        return h + (h - h).abs().sqrt()"}, "are finite"),
    (ArchitectureTests, "test_double_backward_of_the_discriminator", {"body": "class Once(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x):\n        return x * 1.0\n    @staticmethod\n    @torch.autograd.function.once_differentiable\n    def backward(ctx, g):\n        return g\nclass D(tiny.Discriminator):\n    def features(self, images):\n        return super().features(Once.apply(images))"}, "double backward through D"),
    (ArchitectureTests, "test_blocks_hold_every_parameter_once", {"body": "class G(tiny.Generator):\n    def blocks(self):\n        return super().blocks()[1:]"}, "generator.blocks() hold every parameter"),
    (ArchitectureTests, "test_blocks_hold_every_parameter_once", {"body": "class D(tiny.Discriminator):\n    def blocks(self):\n        return [*super().blocks(), self.first]"}, "discriminator.blocks() hold every parameter"),
    (ArchitectureTests, "test_forward_changes_no_state", {"body": "class D(tiny.Discriminator):\n    def features(self, images):\n        images.data.clamp_(-0.1, 0.1)\n        return super().features(images)"}, "leaves its images as they are"),
    (ArchitectureTests, "test_shapes_and_ranges", {"build": SERVING.format("classes")}, "build serves 16 px and 1 classes"),
    (ArchitectureTests, "test_forward_changes_no_state", {"body": "class D(tiny.Discriminator):\n    calls = 0\n    def features(self, images):\n        self.calls += 1\n        return super().features(images) * self.calls"}, "power iteration belongs into advance()"),
    (ArchitectureTests, "test_forward_changes_no_state", {"body": "class G(tiny.Generator):\n    def forward(self, z, condition):\n        self.norm.mean.add_(0.1)\n        return super().forward(z, condition)"}, "in eval mode forward changes nothing"),
    (ArchitectureTests, "test_advance_keeps_parameters", {"body": "class G(tiny.Generator):\n    def advance(self):\n        nn.init.zeros_(self.linear.bias)\n        nn.init.zeros_(self.linear.weight)"}, "changes buffers alone"),
    (ArchitectureTests, PRECISION, {"body": "class G(tiny.Generator):\n    def forward(self, z, condition):\n        return super().forward(z, condition).float()"}, "compute in it"),
    (ArchitectureTests, "test_defaults_make_sense", {"build": "def build(options, *, size, classes):\n    return Networks(G(classes), D(classes), Defaults(loss='square'))\n"}, "defaults.loss is one of"),
    (ArchitectureTests, "test_defaults_make_sense", {"build": "def build(options, *, size, classes):\n    return Networks(G(classes), D(classes), Defaults(generator=Adam(betas=(0.5, 1.0))))\n"}, "betas lie in"),
    (ArchitectureTests, FILES, {"body": "class D(tiny.Discriminator):\n    def __init__(self, classes):\n        super().__init__(classes)\n        self.calls = 0\n    def features(self, images):\n        self.calls += 1\n        return super().features(images) * (1 + 0.01 * self.calls)"}, "bit for bit"),
    (ArchitectureTests, "test_sample_is_truncated", {"body": "class G(tiny.Generator):\n    def sample(self, z, condition, truncation):\n        return self(z, condition)[:, :1]"}, "sample(z, condition, truncation) gives finite images"),
    (ArchitectureTests, "test_sample_is_truncated", {"body": "class G(tiny.Generator):\n    def sample(self, z, condition):\n        return self(z, condition)"}, "sample(z, condition, truncation) works"),
    (ArchitectureTests, "test_images_are_made_of_w", {"body": FROM_W.replace("    w_shape = (2, 6)\n", "")}, "has w_shape, (layers, W)"),
    (ArchitectureTests, "test_images_are_made_of_w", {"body": FROM_W.replace("return z", "return z[:, :2]")}, "mapping(z, condition) gives w [N, W]"),
    (ArchitectureTests, "test_images_are_made_of_w", {"body": FROM_W.replace("w.mean(1) if w.dim() == 3 else w", "w")}, "from_w takes w [N, W] and [N, layers, W]"),
    (ArchitectureTests, "test_images_are_made_of_w", {"body": FROM_W.replace("return self(", "return self.norm.mean + 0 * self(").replace("self.norm.mean", "1 / self.norm.mean[0]")}, "from_w(w) gives finite images"),
    (ArchitectureTests, "test_standing_statistics_are_of_batches", {"body": "class G(tiny.Generator):\n    def standing_statistics(self, batches):\n        return [self(*batches[number]) for number in range(2)]"}, "takes an iterable of (z, condition)"),
    (ArchitectureTests, "test_standing_statistics_are_of_batches", {"body": "class G(tiny.Generator):\n    def standing_statistics(self, batches):\n        nn.init.ones_(self.linear.bias)"}, "changes statistics alone"),
    (ArchitectureTests, "test_standing_statistics_are_of_batches", {"body": "class G(tiny.Generator):\n    def standing_statistics(self, batches):\n        self.norm.mean.fill_(torch.nan)"}, "after standing_statistics, forward gives finite"),
    (ArchitectureTests, "test_latents_are_of_the_random_generator", {"body": "class G(tiny.Generator):\n    def latents(self, count, random):\n        return torch.randn(count, self.latent_dim)"}, "one seed, two results"),
    (ArchitectureTests, "test_latents_are_of_the_random_generator", {"body": "class G(tiny.Generator):\n    def latents(self, count, random):\n        return torch.randn(4, 6, generator=random)"}, "gives z [count, Z]"),
    (ArchitectureTests, SEEDS, {"body": "class G(tiny.Generator):\n    def forward(self, z, condition):\n        torch.manual_seed(0)\n        return super().forward(z, condition)"}, "never seeds it"),
    (ArchitectureTests, FILES, {"body": "class G(tiny.Generator):\n    def forward(self, z, condition):\n        return super().forward(z, condition) if self.training else self.missing"}, "a training runs to its end"),
    (ArchitectureTests, "test_read_leaves_the_files_of_others", {"extra": "dict(read=lambda files: files['generator'])"}, "seen: KeyError"),
    (ArchitectureTests, "test_read_leaves_the_files_of_others", {"extra": "dict(read=lambda files: files)"}, "read gives None for files"),
    (ArchitectureTests, LAYOUT, {"body": FORGETFUL + "def refusing(networks):\n    raise UsageError('cannot')\n", "extra": "dict(read=read, write=refusing)"}, "of networks without classes at least"),
    (ArchitectureTests, LAYOUT, {"extra": "dict(read=lambda files: None, write=lambda networks: {})"}, "read understands what write gives"),
    (ArchitectureTests, LAYOUT, {"body": FORGETFUL, "extra": "dict(read=read, write=write)"}, "1 tensors differ: 1.linear.weight"),
]  # fmt: skip


@pytest.mark.parametrize(("kit", "test", "broken", "rule"), BROKEN, ids=[f"{b[0].kind}-{b[3][:30]}" for b in BROKEN])
def test_a_broken_plugin_fails_with_the_rule(kit, test, broken, rule, monkeypatch, tmp_path, capsys):
    message = fails(kit, test, monkeypatch, tmp_path, capsys, **broken)
    assert message is not None, "it passed"
    assert rule in message


def test_every_check_is_shown_to_fail():
    shown = {(kit, test) for kit, test, *_ in BROKEN}
    shared = {LOADS, HELP, SEED, SEEDS, STATE, TRAINING, RESUME, BFLOAT16}
    assert shared <= {test for _, test in shown}
    for kit in BUILDS:
        own = {name for name in dir(kit) if name.startswith("test_")} - shared
        assert own <= {test for other, test in shown if other is kit}, kit
