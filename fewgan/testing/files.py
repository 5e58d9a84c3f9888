"""What an architecture's files are: of its runs, and of other programs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from fewgan import run
from fewgan.plugin import UsageError
from fewgan.sources import known
from fewgan.sources.load import load
from fewgan.testing.base import config, difference, same, states
from fewgan.testing.generators import GeneratorTests


class FileTests(GeneratorTests):
    """A training with its files, and foreign layouts."""

    def test_it_trains_resumes_and_samples_from_its_files(self, tmp_path: Path) -> None:
        changes = {"architecture": self.choice, "size": self.size, "steps": 4, "save_every": 2, "sample_every": 4}
        whole = self._trained_and_resumed(
            config(tmp_path, dataset_size=self.size, classes=min(self.classes), **changes)
        )
        model = load(whole / run.GENERATOR)
        with self._told("a generator file makes pictures"):
            pictures = model.sample(3, seed=1)
        self.must(tuple(pictures.shape) == (3, 3, self.size, self.size), "a generator file makes pictures")
        rule = "picture i depends on the seed and i alone"
        self.must(bool(torch.equal(pictures[:2], load(whole / run.GENERATOR).sample(2, seed=1))), rule)

    def test_its_table_of_sources_can_be_read(self) -> None:
        try:
            known.of_plugin(self.plugin, self.object.sources)
        except UsageError as error:
            self.must(False, "sources is package:file of a table of pretrained networks, or None", error)

    def test_a_foreign_layout_goes_there_and_back(self) -> None:
        plugin, _ = self.choice.plugin()
        if plugin.write is None:
            return
        made = self.made()
        try:
            written = plugin.write(made)
        except UsageError:  # a layout that has no place for classes
            made = self.made(min(self.classes))
            rule = "write(networks) gives a state dict for each file, of networks without classes at least"
            with self._told(f"{rule} (set `options` to such as the layout has a place for)"):
                written = plugin.write(made)
        paths = [name for name in written if Path(name).name != name]
        self.must(not paths, "write(networks) gives names of files, which are no paths", ", ".join(paths))
        table = known.of_plugin(self.plugin, plugin.sources)
        taken = {file["name"] for entry in table.values() for file in entry["files"]} & written.keys()
        rule = "what write gives is not called like a file of a source, whose licence goes by the name"
        self.must(not taken, rule, ", ".join(taken))
        if plugin.read is None:
            return
        rule = "read understands what write gives"
        with self._told(rule):
            found = plugin.read(written)
        if found is None or found.discriminator is None:
            return self.must(False, rule, found)
        again = plugin.build(found.options, size=found.size, classes=found.classes).with_discriminator()
        again.generator.load_state_dict(dict(found.generator))
        again.discriminator.load_state_dict(dict(found.discriminator))
        self.must(same(states(made), states(again)), rule, difference(states(made), states(again)))
        return None

    def test_read_leaves_the_files_of_others(self) -> None:
        read = self.choice.plugin()[0].read
        if read is None:
            return
        rule = "read gives None for files that are not of its layout: every architecture is asked in turn"
        others: list[dict[str, dict[str, Tensor]]] = [{"x.pth": {"other": torch.zeros(1)}}, {"x.pth": {}}]
        for files in others:
            with self._told(rule):
                found = read(files)
            self.must(found is None, rule, found)
