"""Packages with plugins, made on disk as pip would leave them: a module beside its dist-info."""

from pathlib import Path
from textwrap import dedent

PLUGIN = """
    from dataclasses import dataclass
    from fewgan.plugin import Plugin, option

    @dataclass(frozen=True, kw_only=True)
    class Options:
        weight: float = option(1.5, "Weight of it [default: chosen well]", min=0, max=9)
        calm: bool = option(True, "Whether it is calm")
        note: str | None = option(None, "A word about it")
        steps: int = option(3, "How many", min=1)
        derived: int = option(7, "A fact from a file", hidden=True)

    plugin = Plugin(api=1, summary="Calm: a [bold] method", options=Options, build=lambda options, **more: options)
"""


def install(
    folder: Path,
    package: str,
    points: dict[str, list[str]],
    modules: dict[str, str] | None = None,
    *,
    version: str = "1.0",
    summary: str = "Plugins of a test",
) -> Path:
    """points: kind -> lines such as `calm = calm_plugin:plugin`; modules: name -> source. Returns folder."""
    info = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\nSummary: {summary}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    text = "".join(f"[fewgan.{kind}]\n" + "".join(f"{line}\n" for line in lines) for kind, lines in points.items())
    (info / "entry_points.txt").write_text(text, encoding="utf-8")
    for name, source in (modules or {}).items():
        (folder / f"{name}.py").write_text(dedent(source), encoding="utf-8")
    return folder
