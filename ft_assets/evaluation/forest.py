"""A forest plot as SVG: one interval a line, on one scale, with the bound that each is held to."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite

_LABEL, _PLOT, _FIGURES, _LINE, _TOP = 250, 380, 190, 24, 34
_COLOURS = {"pass": "#1a7f37", "fail": "#b42318", "inconclusive": "#9a6700"}


@dataclass(frozen=True)
class Line:
    """A gain with its interval (more is better), `bound`: what it must lie above, and the outcome."""

    label: str
    mean: float
    low: float
    high: float
    bound: float
    outcome: str


def forest(lines: Sequence[Line], unit: str) -> str:
    """The plot, as an `<svg>` element that needs nothing from outside. Infinite ends run to the edge."""
    ends = [
        end for line in lines for end in (line.mean, line.low, line.high, line.bound, 0.0) if isfinite(end)
    ]
    low, high = min(ends), max(ends)
    room = 0.06 * (high - low or 1.0)
    scale = _Scale(low - room, high + room)
    height = _TOP + _LINE * len(lines) + 12
    parts = [
        f'<line class="zero" x1="{scale(0.0):.1f}" x2="{scale(0.0):.1f}" y1="{_TOP - 8}" y2="{height - 6}"/>',
        _text(scale(0.0), 14, "no difference", "middle"),
        _text(_LABEL + _PLOT + 12, 14, f"gain, {unit}", "start"),
        *(_row(line, _TOP + _LINE * at + _LINE / 2, scale) for at, line in enumerate(lines)),
    ]
    width = _LABEL + _PLOT + _FIGURES
    return (
        f'<svg class="forest" role="img" aria-label="Gains with their intervals" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">{"".join(parts)}</svg>'
    )


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float

    def __call__(self, value: float) -> float:
        """The place of a value; what lies beyond the ends is put on them."""
        inside = min(max(value, self.low), self.high)
        return _LABEL + _PLOT * (inside - self.low) / (self.high - self.low)


def _row(line: Line, y: float, scale: _Scale) -> str:
    colour = _COLOURS[line.outcome]
    bound = scale(line.bound)
    figures = f"{line.mean:+.3f} [{_figure(line.low)}, {_figure(line.high)}]"
    return "".join(
        [
            _text(_LABEL - 12, y + 4, line.label, "end"),
            f'<line class="bound" x1="{bound:.1f}" x2="{bound:.1f}" y1="{y - 9:.1f}" y2="{y + 9:.1f}"/>',
            f'<line x1="{scale(line.low):.1f}" x2="{scale(line.high):.1f}" y1="{y:.1f}" y2="{y:.1f}" '
            f'stroke="{colour}" stroke-width="2"/>',
            f'<circle cx="{scale(line.mean):.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>',
            _text(_LABEL + _PLOT + 12, y + 4, figures, "start"),
        ]
    )


def _figure(value: float) -> str:
    return f"{value:+.3f}" if isfinite(value) else "…"


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
