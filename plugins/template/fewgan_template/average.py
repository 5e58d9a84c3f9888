"""Template of a command: the mean colour of pictures. `fewgan template-average PICTURE…`."""

from __future__ import annotations

from dataclasses import dataclass

from fewgan.plugin import Plugin, Screen, UsageError, option


@dataclass(frozen=True, kw_only=True)
class Options:
    pictures: tuple[str, ...] = option((), "Pictures", argument=True)
    digits: int = option(1, "Digits after the point", min=0, max=6)


class Average:
    def run(self, options: Options, screen: Screen) -> dict[str, str]:
        from PIL import Image, ImageStat, UnidentifiedImageError

        found = {}
        for name in options.pictures:
            try:
                with Image.open(name) as picture:
                    mean = ImageStat.Stat(picture.convert("RGB")).mean
            except (OSError, UnidentifiedImageError) as error:
                raise UsageError(f"{name}: not a picture that can be read ({error})") from None
            found[name] = " ".join(f"{value:.{options.digits}f}" for value in mean)
        return found


def build(options: Options) -> Average:
    return Average()


plugin = Plugin(api=1, summary="Print the mean colour of pictures", options=Options, build=build)
