"""The report as one HTML file that needs nothing from outside: the page's Markdown, and a forest plot a metric."""

from collections.abc import Iterator
from html import escape

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

from ft_assets.evaluation.comparison import Difference
from ft_assets.evaluation.forest import COLOURS, Line, forest
from ft_assets.evaluation.gate import Verdict
from ft_assets.evaluation.judgement import Judgement
from ft_assets.evaluation.measure import RETENTION_MEASURE, Measure
from ft_assets.evaluation.rule import Outcome

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 2rem auto; padding: 0 1.5rem; color: #1f2328;
  overflow-wrap: anywhere; }}
h1 {{ border-left: .5rem solid {colour}; padding-left: .8rem; }}
h1 + p strong {{ color: {colour}; font-size: 1.15rem; }}
h2 {{ margin-top: 2.2rem; border-bottom: 1px solid #d0d7de; padding-bottom: .2rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 14px; }}
th, td {{ border: 1px solid #d0d7de; padding: .3rem .6rem; text-align: left; vertical-align: top;
  min-width: 3rem; max-width: 36rem; }}
th {{ background: #f6f8fa; overflow-wrap: normal; }}
.forest {{ display: block; max-width: 100%; height: auto; font-size: 13px; }}
.forest .zero {{ stroke: #afb8c1; stroke-dasharray: 3 3; }}
.forest .bound {{ stroke: #1f2328; stroke-width: 2; }}
</style></head><body>
"""
_KEY = (
    "<p>Gains, turned so that right is better. A line is the {confidence:.0%} interval, the black mark the bound that "
    "it must lie beyond: green it does, red it lies wholly on the wrong side, amber the rows do not tell.</p>"
)


def html_page(markdown: str, judged: Judgement) -> str:
    """The page with its plots set in before the first table.

    Args:
        markdown: as `page` writes it; HTML in it is shown, never obeyed.
    """
    candidate, verdict = judged.candidate, judged.verdict
    body = _reader().render(markdown)
    body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    head, _, rest = body.partition("<h2>")
    key = _KEY.format(confidence=candidate.recipe.gate.confidence)
    plots = "".join(_plots(verdict))
    shown = f"<h2>What was found</h2>{key}{plots}" if plots else ""
    title = escape(f"{candidate.model} {candidate.key}: {verdict.verdict}")
    return (
        f"{_HEAD.format(title=title, colour=COLOURS[verdict.verdict])}{head}{shown}<h2>{rest}</body></html>\n"
    )


def _reader() -> MarkdownIt:
    """Reads tables, and of HTML nothing but the line breaks of cells."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.inline.ruler.before("autolink", "line_break", _line_break)
    return reader


def _line_break(state: StateInline, silent: bool) -> bool:
    """A `<br>` in the source is ours: those of the texts have entities for their angle brackets."""
    if not state.src.startswith("<br>", state.pos):
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos += len("<br>")
    return True


def _plots(verdict: Verdict) -> Iterator[str]:
    """One plot for each metric that was compared: against base and incumbent, and by slice where it was asked."""
    for measure in (*verdict.measured, RETENTION_MEASURE):
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
