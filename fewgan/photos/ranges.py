"""The values that pictures of 16 bits use, over a whole set: 12 bits in 16 are nearly black unless that is seen."""

from __future__ import annotations

from fewgan.photos.decode import WHITE, Span

_BITS = (8, 10, 12, 14)
_SMALL = 2**14


class Ranges:
    """Lowest and highest values of the 16-bit pictures of a set, grey and colour apart; values are 0 … 65535."""

    def __init__(self) -> None:
        self.greys = self.dark_greys = self.colours = self.dark_colours = 0
        self.low, self.high = WHITE, 0

    def add(self, span: Span | None, colour: bool) -> None:
        """span: see `Decoded`; None: not of 16 bits."""
        if span is None:
            return
        low, high, most = span
        if colour:
            self.colours += 1
            self.dark_colours += most < _SMALL
            return
        self.greys += 1
        self.dark_greys += most < _SMALL
        self.low, self.high = min(self.low, low), max(self.high, high)

    @property
    def white(self) -> int:
        """The value to take for white: 2^b - 1 where no grey picture needs more than b = 8, 10, 12 or 14 bits."""
        if not self.greys or not self.high:
            return WHITE
        return next((2**bits - 1 for bits in _BITS if self.high < 2**bits), WHITE)

    def warnings(self) -> list[str]:
        """What was done about small ranges, or what the user can do."""
        said = []
        of_all = f"of 0 to {WHITE:,}"
        if self.white < WHITE:
            bits = self.white.bit_length()
            said.append(
                f"{self.greys} 16-bit pictures use only 0 to {self.high:,} {of_all}: they are read as {bits} bits, "
                f"{self.white:,} is white"
            )
        elif self.greys and self.high - self.low < _SMALL:
            said.append(
                f"{self.greys} 16-bit pictures use only {self.low:,} to {self.high:,} {of_all} and stay faint: stretch "
                "their range first"
            )
        elif self.dark_greys:
            said.append(
                f"{self.dark_greys} of {self.greys} 16-bit pictures lie in the darkest quarter of the range, but for a "
                "few pixels, and stay dark: stretch their range first"
            )
        if self.dark_colours:
            said.append(
                f"{self.dark_colours} of {self.colours} 16-bit colour pictures lie in the darkest quarter of the "
                "range, but for a few pixels, and stay dark: convert them to 8 bits a channel first"
            )
        return said
