"""Find, load and check plugins, through the metadata of installed packages. Importing this imports no plugin.

Kinds are named as their entry-point groups are: `transfers` for `fewgan.transfers`. The group `fewgan.defaults` of
fewgan's own package gives the name of each kind's default plugin, so that the code names none.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from fewgan.errors import FewganError, UsageError
from fewgan.faults import check_plugin, fault
from fewgan.installed import KINDS, Entry, installed, same
from fewgan.networks import Networks
from fewgan.options import checked, fields_of, flags_of, prefix, suggestion, switch
from fewgan.plugin import Plugin
from fewgan.screen import command, one_line, others_aside

PACKAGES = (
    "fewgan-ada", "fewgan-contrad", "fewgan-efficientnet", "fewgan-freezed", "fewgan-lecam", "fewgan-project",
    "fewgan-projected", "fewgan-stylegan2", "fewgan-tensorboard", "fewgan-trackio", "fewgan-transgan",
)  # fmt: skip
"""The packages in the plugins/ folder of fewgan's repository: the only ones that a message tells how to install."""

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


@dataclass(frozen=True)
class Choice:
    """A plugin with its options, as `config.json` remembers it: plain values alone."""

    kind: str
    name: str
    package: str
    version: str
    options: dict[str, Any]

    def found(self) -> Plugin:
        """The plugin. Raises UsageError, for a package that is gone among others."""
        entries = find(self.kind).get(self.name, []) if self.kind in KINDS else []
        if not any(same(entry.package, self.package) for entry in entries):
            # These names come out of a file that somebody may have sent: they are shown, and never to be run.
            word, name, package = (one_line(text)[:60] for text in (self.kind, self.name, self.package))
            there = f" ({entries[0].origin} has one of that name)" if entries else ""
            known = next((known for known in PACKAGES if same(known, self.package)), None)
            raise UsageError(
                f"the {KINDS.get(word, word)} {name!r} is needed and not installed{there}: "
                + (how_to_install(known) if known else f"install the package that provides it, named {package!r} here")
            )
        return load(self.kind, self.name)

    def plugin(self) -> tuple[Plugin, Any]:
        """The plugin and an instance of its options. Raises UsageError as `found`, and for options that it has not."""
        plugin = self.found()
        try:
            return plugin, options_from(plugin, self.name, self.options)
        except UsageError as error:
            now = find(self.kind)[self.name][0].version
            if same(self.package, "fewgan") or now == self.version:
                raise
            version, package = (one_line(text)[:60] for text in (self.version, self.package))
            raise UsageError(
                f"{error}; this was made with {package} {version}, and {now} is installed: install that version"
            ) from None

    def build(self, **facts: Any) -> Any:
        """The module that the plugin builds; for all kinds but architectures, trackers and commands."""
        from torch import nn

        plugin, options = self.plugin()
        module = plugin.build(options, **facts)
        if not isinstance(module, nn.Module):
            raise fault(self.kind, self.name, f"its build returned {type(module).__name__} and not a module")
        return module

    def networks(self, *, size: int | None, classes: int) -> Networks:
        """What the plugin builds; for architectures alone."""
        plugin, options = self.plugin()
        built = plugin.build(options, size=size, classes=classes)
        if not isinstance(built, Networks):
            raise fault(self.kind, self.name, f"its build returned {type(built).__name__} and not Networks")
        return built


def how_to_install(package: str) -> str:
    """For one of PACKAGES: the command, and where it works."""
    return f"in fewgan's repository, run {command('pip', 'install', f'./plugins/{package}')}"


def find(kind: str) -> dict[str, list[Entry]]:
    """The installed plugins of a kind by name; several entries: several packages claim the name."""
    entries = [entry for entry in describe() if entry.kind == kind]
    return {entry.name: [other for other in entries if other.name == entry.name] for entry in entries}


def describe() -> list[Entry]:
    """Every installed plugin, by kind and name, from metadata alone."""
    order = list(KINDS)
    entries = [entry for entry in installed() if entry.kind in KINDS]
    return sorted(entries, key=lambda entry: (order.index(entry.kind), entry))


def default(kind: str) -> str | None:
    """The name of the plugin that a command takes when none is given, or None."""
    own = (entry for entry in installed() if entry.kind == "defaults" and same(entry.package, "fewgan"))
    return next((entry.value for entry in own if entry.name == kind), None)


def kind_of(name: str) -> str:
    """The kind of the plugin called `name`. Raises UsageError where there is none."""
    for entry in describe():
        if entry.name == name:
            return entry.kind
    raise _unknown("plugin", name, [entry.name for entry in describe()])


def load(kind: str, name: str, core: Collection[str] = ()) -> Plugin:
    """Imports one plugin and checks it.

    core: the flags of fewgan's commands, for a plugin whose flags join them. Raises UsageError, one line: unknown
    name, two packages that claim it, import failure, wrong object, wrong api, an options dataclass that breaks the
    rules of `fewgan.plugin.option`, a name or flag that is in `core`.
    """
    entry = _entry(kind, name)
    if not _NAME.fullmatch(name):
        raise UsageError(f"{entry}: a plugin's name is lower-case letters and digits, with single dashes between words")
    try:
        with others_aside():
            plugin = EntryPoint(name, entry.value, f"fewgan.{kind}").load()
    except (Exception, SystemExit) as error:  # a module may do anything when it is imported
        raise UsageError(
            f"{entry} does not import: {f'{type(error).__name__}: {one_line(str(error))}'.rstrip(': ')}; "
            f"upgrade or uninstall {entry.package}"
        ) from error
    check_plugin(entry, plugin, core)
    return plugin  # type: ignore[no-any-return]  # check_plugin is the proof


def options_from(plugin: Plugin, name: str, values: Mapping[str, Any]) -> Any:
    """An instance of the plugin's options, checked: names, types, ranges, finite numbers. Raises UsageError.

    name: the plugin's, for messages. Options that values does not name keep their defaults.
    """
    fields = {item.name: item for item in fields_of(plugin.options)}
    for key in values:
        if key not in fields:
            raise UsageError(f"{name} has no option {key!r:.60}{suggestion(key, fields)}")
    try:
        return plugin.options(**{key: checked(name, fields[key], value) for key, value in values.items()})
    except FewganError:
        raise
    except Exception as error:  # a __post_init__ of the plugin's own
        raise UsageError(f"{name}: {one_line(str(error)) or type(error).__name__}") from error


def choose(kind: str, name: str, options: Any = None) -> Choice:
    """The record of a choice. options: an instance of the plugin's options, None for all defaults."""
    entry = _entry(kind, name)
    values = dataclasses.asdict(load(kind, name).options() if options is None else options)
    return Choice(kind, name, entry.package, entry.version, values)


def check(core: Collection[str] = ()) -> list[tuple[Entry, str | None]]:
    """Loads every installed plugin; with each entry the message of what is wrong with it, or None. core: see load()."""
    results, loaded = list[tuple[Entry, str | None]](), dict[tuple[str, str], Plugin]()
    for entry in describe():
        try:
            plugin = load(entry.kind, entry.name, core)
            if entry.kind != "commands":  # its flags are beside no other plugin's
                refuse_clashes({**loaded, (entry.kind, entry.name): plugin})
                loaded[entry.kind, entry.name] = plugin
            results.append((entry, None))
        except UsageError as error:
            results.append((entry, str(error)))
    return results + [(entry, _of_no_kind(entry)) for entry in _strays()]


def _strays() -> list[Entry]:
    """What is declared in groups that are of no kind, such as a misspelt one; `describe` does not list them."""
    return [entry for entry in installed() if entry.kind not in KINDS and entry.kind != "defaults"]


def _of_no_kind(entry: Entry) -> str:
    groups = [f"fewgan.{kind}" for kind in KINDS]
    group = entry.kind if entry.kind == "fewgan" else f"fewgan.{entry.kind}"
    near = difflib.get_close_matches(group, groups, 1)
    hint = f"did you mean {near[0]}?" if near else f"the groups are {', '.join(groups)}"
    return f"{entry}: its entry point is in the group {group}, which is of no kind; {hint}"


def refuse_clashes(plugins: Mapping[tuple[str, str], Plugin]) -> None:
    """Raises UsageError where two of these plugins, by (kind, name), have the same flag."""
    owners: dict[str, str] = {}
    for (kind, name), plugin in plugins.items():
        for text in (*switch(kind, name), *flags_of(prefix(kind, name), plugin.options)):
            if owners.setdefault(text, name) != name:
                raise UsageError(f"{owners[text]!r} and {name!r} both have the flag {text}; they cannot go together")


def switches(core: Collection[str]) -> dict[str, Entry]:
    """The regularizers that can be a flag of their own, `--NAME`; the others are left to `fewgan plugins check`."""
    found: dict[str, Entry] = {}
    taken = set(core)
    for name, entries in find("regularizers").items():
        if _NAME.fullmatch(name) and taken.isdisjoint(switch("regularizers", name)):
            found[name] = entries[0]
            taken.update(switch("regularizers", name))
    return found


def _entry(kind: str, name: str) -> Entry:
    """The one entry of this name. Raises UsageError where there is none, and where there are several in any kind."""
    claims = [entry for entry in describe() if same(entry.name, name)]
    mine = [entry for entry in claims if (entry.kind, entry.name) == (kind, name)]
    if not mine:
        raise _unknown(KINDS[kind], name, find(kind), [entry for entry in claims if entry.kind != kind])
    if len(claims) > 1:
        owners = " and ".join(f"{entry.origin} ({KINDS[entry.kind]})" for entry in claims)
        raise UsageError(f"the plugin name {name!r} is claimed by {owners}; uninstall all but one of them")
    return mine[0]


def _unknown(word: str, name: str, installed: Iterable[str], elsewhere: Iterable[Entry] = ()) -> UsageError:
    names = sorted(installed)
    strays = [_of_no_kind(entry) for entry in _strays() if entry.name == name]
    hints = (
        strays[:1] or [f"that is the name of another kind of plugin: {KINDS[entry.kind]}" for entry in elsewhere][:1]
    )
    hints = hints or (["a name has no comma; give one"] if "," in name else [])
    hints = hints or [f"did you mean {close!r}?" for close in difflib.get_close_matches(name.lower(), names, n=1)]
    hints = hints or [
        f"the package {package} may bring it: {how_to_install(package)}"
        for package in PACKAGES
        if same(package, f"fewgan-{name}")
    ]
    return UsageError("; ".join([f"no {word} is called {name!r} (installed: {', '.join(names) or 'none'})", *hints]))
