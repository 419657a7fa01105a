"""One signal's course as an inline SVG: the mean, the band that holds it, and the margin, over the matches."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 300, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 10, 20
_ROOM = 0.12


@dataclass(frozen=True)
class _Scale:
    """Places on the paper. What lies beyond the ends is put on them, as early bounds are as wide as can be."""

    matches: int
    low: float
    high: float

    def x(self, matches: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * matches / self.matches

    def y(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (self.high - inside) / (self.high - self.low)


def chart(name: str, signal: dict[str, Any]) -> str:
    """The `<svg>` of one signal of `live_figures` that has a match; its looks come from the page's style."""
    points = signal["course"]
    scale, equal = _scale(signal), _equal(signal)
    parts = [
        _polygon(points, scale),
        _level("equal", equal, scale),
        _level("limit", signal["limit"], scale),
        _line([point for point in points if point["mean"] is not None], scale),
        _text(_LEFT - 5, scale.y(equal) + 4, _figure(equal), "end"),
        *_limit_label(signal, scale, equal),
        _text(_LEFT, _HEIGHT - 4, "0", "middle"),
        _text(_WIDTH - _RIGHT, _HEIGHT - 4, f"{scale.matches} matches", "end"),
    ]
    label = f"{name}: {signal['measure']} over {scale.matches} matches"
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}">{"".join(parts)}</svg>'
    )


def _scale(signal: dict[str, Any]) -> _Scale:
    """The present band, margin and equality always fit; so do the means of the second half."""
    points = signal["course"]
    late = [point["mean"] for point in points[len(points) // 2 :] if point["mean"] is not None]
    shown = [*late, points[-1]["low"], points[-1]["high"], _equal(signal)]
    shown += [] if signal["limit"] is None else [signal["limit"]]
    room = _ROOM * (max(shown) - min(shown))
    return _Scale(points[-1]["matches"], min(shown) - room, max(shown) + room)


def _equal(signal: dict[str, Any]) -> float:
    """Where arms that are equal lie."""
    return 1.0 if signal["measure"] == "ratio" else 0.0


def _polygon(points: Sequence[dict[str, Any]], scale: _Scale) -> str:
    high = [_place(scale, point, "high") for point in points]
    low = [_place(scale, point, "low") for point in reversed(points)]
    return f'<polygon class="band" points="{" ".join([*high, *low])}"/>'


def _line(points: Sequence[dict[str, Any]], scale: _Scale) -> str:
    places = [_place(scale, point, "mean") for point in points]
    if len(places) == 1:  # a line of one point is not seen
        x, y = places[0].split(",")
        return f'<circle class="dot" cx="{x}" cy="{y}" r="2.5"/>'
    return f'<polyline class="mean" points="{" ".join(places)}"/>'


def _place(scale: _Scale, point: dict[str, Any], name: str) -> str:
    return f"{scale.x(point['matches']):.1f},{scale.y(point[name]):.1f}"


def _level(kind: str, value: float | None, scale: _Scale) -> str:
    if value is None:
        return ""
    y = scale.y(value)
    return f'<line class="{kind}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _limit_label(signal: dict[str, Any], scale: _Scale, equal: float) -> list[str]:
    """The margin's value, unless it would lie over that of equality."""
    edge = signal["limit"]
    if edge is None or abs(scale.y(edge) - scale.y(equal)) < 12:
        return []
    return [_text(_LEFT - 5, scale.y(edge) + 4, _figure(edge), "end", "edge")]


def _figure(value: float) -> str:
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")


def _text(x: float, y: float, words: str, anchor: str, kind: str = "axis") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
