"""A forest plot as SVG: one interval a line, on one scale, with the bound that each is held to."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from unicodedata import east_asian_width

from ft_assets.evaluation.rule import Outcome

_PLOT, _LINE, _TOP, _GAP = 380, 24, 34, 12
_LETTER = 7.2
"""Pixels that a letter takes at most, on average, in the page's letter size."""
_DIGIT = 8.0
"""The same of figures, which are wider."""
_LONGEST = 56
"""Letters of a label; longer ones are cut, and whole under the mouse."""
COLOURS: dict[Outcome, str] = {"pass": "#1a7f37", "fail": "#b42318", "inconclusive": "#9a6700"}


@dataclass(frozen=True)
class Line:
    """A gain with its interval (more is better), `bound`: what it must lie above, and the outcome."""

    label: str
    mean: float
    low: float
    high: float
    bound: float
    outcome: Outcome


def forest(lines: Sequence[Line], unit: str) -> str:
    """The plot, as an `<svg>` element that needs nothing from outside. Infinite ends run to the edge."""
    scale = _scale(lines)
    height = _TOP + _LINE * len(lines) + _GAP
    head = f"gain, {unit}"
    width = scale.end + _GAP + _DIGIT * max(map(len, [head, *map(_figures, lines)]))
    zero = f"{scale(0.0):.1f}"
    parts = [
        f'<line class="zero" x1="{zero}" x2="{zero}" y1="{_TOP - 8}" y2="{height - 6}"/>',
        _text(scale(0.0), 16, "no difference", "middle"),
        _text(scale.end + _GAP, 16, head, "start"),
        *(_row(line, _TOP + _LINE * at + _LINE / 2, scale) for at, line in enumerate(lines)),
    ]
    return (
        f'<svg class="forest" role="img" aria-label="Gains with their intervals" viewBox="0 0 {width:.0f} {height}" '
        f'width="{width:.0f}" height="{height}">{"".join(parts)}</svg>'
    )


@dataclass(frozen=True)
class _Scale:
    """Places of values from `low` to `high`, beginning right of the labels."""

    low: float
    high: float
    start: float

    @property
    def end(self) -> float:
        return self.start + _PLOT

    def __call__(self, value: float) -> float:
        """The place of a value; what lies beyond the ends is put on them."""
        inside = min(max(value, self.low), self.high)
        return self.start + _PLOT * (inside - self.low) / (self.high - self.low)


def _scale(lines: Sequence[Line]) -> _Scale:
    ends = [
        end for line in lines for end in (line.mean, line.low, line.high, line.bound, 0.0) if isfinite(end)
    ]
    low, high = min(ends), max(ends)
    # Room at both ends, so that the words over the zero line are never cut nor run into those beside the plot.
    room = 0.14 * (high - low or 1.0)
    labels = max(_letters(_short(line.label)) for line in lines)
    return _Scale(low - room, high + room, _LETTER * labels + _GAP)


def _row(line: Line, y: float, scale: _Scale) -> str:
    colour = COLOURS[line.outcome]
    bound, label = scale(line.bound), _short(line.label)
    whole = f"<title>{escape(line.label)}</title>" if label != line.label else ""
    return "".join(
        [
            _text(scale.start - _GAP, y + 4, label, "end", whole),
            f'<line class="bound" x1="{bound:.1f}" x2="{bound:.1f}" y1="{y - 9:.1f}" y2="{y + 9:.1f}"/>',
            f'<line x1="{scale(line.low):.1f}" x2="{scale(line.high):.1f}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{colour}" stroke-width="2"/>',
            f'<circle cx="{scale(line.mean):.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>',
            _text(scale.end + _GAP, y + 4, _figures(line), "start"),
        ]
    )


def _figures(line: Line) -> str:
    return f"{line.mean:+.3f} [{_figure(line.low)}, {_figure(line.high)}], bound {line.bound:+.3f}"


def _figure(value: float) -> str:
    return f"{value:+.3f}" if isfinite(value) else "…"


def _short(label: str) -> str:
    """As much of a label as has room."""
    taken = 0
    for at, letter in enumerate(label):
        taken += _letters(letter)
        if taken > _LONGEST:
            return f"{label[:at]}…"
    return label


def _letters(text: str) -> int:
    """How many letters' room a text takes: some scripts are twice as wide."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def _text(x: float, y: float, words: str, anchor: str, inside: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{inside}{escape(words)}</text>'
