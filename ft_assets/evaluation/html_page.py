"""The report as one HTML file that needs nothing from outside: the page's Markdown, and a forest plot a metric."""

from collections.abc import Iterator
from html import escape

from markdown_it import MarkdownIt

from ft_assets.evaluation.comparison import Difference
from ft_assets.evaluation.forest import Line, forest
from ft_assets.evaluation.gate import Verdict
from ft_assets.evaluation.measure import Measure
from ft_assets.evaluation.rule import Outcome

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 2rem auto; padding: 0 1.5rem; color: #1f2328; }}
h1 {{ border-left: .5rem solid {colour}; padding-left: .8rem; }}
h2 {{ margin-top: 2.2rem; border-bottom: 1px solid #d0d7de; padding-bottom: .2rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 14px; }}
th, td {{ border: 1px solid #d0d7de; padding: .3rem .6rem; text-align: left; vertical-align: top; max-width: 26rem; }}
td {{ overflow-wrap: anywhere; }}
th {{ background: #f6f8fa; }}
.forest {{ display: block; max-width: 100%; height: auto; font-size: 13px; }}
.forest .zero {{ stroke: #afb8c1; stroke-dasharray: 3 3; }}
.forest .bound {{ stroke: #1f2328; stroke-width: 2; }}
</style></head><body>
"""
_KEY = (
    "<p>Gains, turned so that right is better. A line is the {confidence:.0%} interval, the black mark the bound that "
    "it must lie beyond: green it does, red it lies wholly on the wrong side, amber the rows do not tell.</p>"
)
_COLOURS: dict[Outcome, str] = {"pass": "#1a7f37", "fail": "#b42318", "inconclusive": "#9a6700"}


def html_page(markdown: str, title: str, verdict: Verdict, confidence: float) -> str:
    """The page with its plots set in before the first table.

    Args:
        markdown: as `page` writes it; HTML in it is shown, never obeyed.
        confidence: of the intervals.
    """
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    body = body.replace(
        "&lt;br&gt;", "<br>"
    )  # line breaks within cells are ours; nothing else of HTML is let through
    body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    head, _, rest = body.partition("<h2>")
    plots = "".join(_plots(verdict))
    shown = f"<h2>What was found</h2>{_KEY.format(confidence=confidence)}{plots}" if plots else ""
    start = _HEAD.format(title=escape(title), colour=_COLOURS[verdict.verdict])
    return f"{start}{head}{shown}<h2>{rest}</body></html>\n"


def _plots(verdict: Verdict) -> Iterator[str]:
    """One plot for each metric that was compared: against base and incumbent, and by slice where it was asked."""
    for measure in verdict.measured:
        compared = [one for one in (*verdict.differences, *verdict.parts) if one.metric == measure.name]
        if compared:
            lines = [_line(one, measure) for one in compared]
            yield f"<h3>{escape(measure.title)}</h3>{forest(lines, measure.unit or measure.name)}"


def _line(one: Difference, measure: Measure) -> Line:
    gain = one.interval if measure.up else one.interval.mirrored
    outcome: Outcome = "pass" if gain.low > one.bound else "fail" if gain.high < one.bound else "inconclusive"
    mean, low, high, bound = (measure.scale * value for value in (gain.mean, gain.low, gain.high, one.bound))
    where = f", {one.part}" if one.part else ""
    return Line(f"against the {one.against}{where}", mean, low, high, bound, outcome)
