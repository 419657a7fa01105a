"""The live view as HTML that needs nothing from outside and runs nothing; whatever others wrote is escaped."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from ft_assets.rollout.means import shown_means
from ft_assets.serving.live_chart import chart

REFRESH_SECONDS = 5
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 84rem; margin: 1.2rem auto; padding: 0 1.2rem; color: #1f2328;
  overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; } h1 small { font-weight: normal; color: #59636e; font-size: .9rem; }
h2 { margin-top: 2rem; border-bottom: 1px solid #d0d7de; padding-bottom: .2rem; }
h3 { margin: 1.3rem 0 .5rem; font-size: 1rem; }
table { border-collapse: collapse; font-size: 14px; width: 100%; }
th, td { border: 1px solid #d0d7de; padding: .3rem .6rem; text-align: left; vertical-align: top; }
th { background: #f6f8fa; }
pre { font: 13px/1.4 ui-monospace, monospace; margin: 0; max-height: 8rem; overflow: auto; white-space: pre-wrap; }
.pairs { table-layout: fixed; } .pairs th:first-child { width: 26%; }
.none, .small { color: #59636e; font-size: 13px; margin: .2rem 0; }
.error { color: #b42318; } .cut { color: #9a6700; }
.wide { overflow-x: auto; } .wide th, .wide td { white-space: nowrap; overflow-wrap: normal; }
.wide .long { white-space: normal; overflow-wrap: anywhere; min-width: 11rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: .8rem; }
.card { border: 1px solid #d0d7de; border-top: .3rem solid #9a6700; border-radius: .3rem; padding: .5rem .7rem; }
.card p { margin: .1rem 0; font-size: 13px; } .card svg { display: block; width: 100%; height: auto; }
.card b { font-size: 15px; } .tag { float: right; font-size: 13px; font-weight: 600; color: #9a6700; }
.ruled { border-top-color: #1a7f37; } .ruled .tag { color: #1a7f37; }
.harm { border-top-color: #b42318; } .harm .tag { color: #b42318; }
.unwatched { border-top-color: #afb8c1; } .unwatched .tag { color: #59636e; }
.band { fill: #0969da; fill-opacity: .16; } .mean { fill: none; stroke: #0969da; stroke-width: 1.8; }
.dot { fill: #0969da; } .equal { stroke: #afb8c1; } .limit { stroke: #b42318; stroke-dasharray: 4 3; }
.axis, .edge { font: 11px system-ui, sans-serif; fill: #59636e; } .edge { fill: #b42318; }
.share { display: block; width: 100%; height: .7rem; margin: .4rem 0; }
.champion { fill: #6e7781; } .challenger { fill: #0969da; }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Sent with the page and with its figures: no script runs, and no other site may embed or read them."""

_TAGS = {"harm": "harm proven", "ruled out": "within margin", "open": "open", "unwatched": "not watched"}


def live_page(figures: dict[str, Any]) -> str:
    """The page of `live_figures`."""
    models = "".join(_model(model) for model in figures["models"]) or '<p class="none">no models yet</p>'
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>ft_assets live</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}"><style>{_STYLE}</style></head><body>'
        f"<h1>ft_assets live <small>as of {_time(figures['at'])} UTC</small></h1>{models}</body></html>\n"
    )


def _model(model: dict[str, Any]) -> str:
    rollout = model["rollout"]
    shown = '<p class="none">no rollout yet</p>' if rollout is None else _rollout(rollout)
    return f"<section><h2>{escape(model['model'])}</h2>{_shares(model)}{shown}{_ledger(model)}</section>"


def _shares(model: dict[str, Any]) -> str:
    """Who answers now, with a bar of the users' shares."""
    share = model["weight"]
    if model["challenger"] is None:
        return f"<p>champion <b>{escape(model['champion'])}</b> answers every user</p>"
    return (
        f"<p>champion <b>{escape(model['champion'])}</b> {1 - share:.0%} of users · challenger "
        f"<b>{escape(model['challenger'])}</b> {share:.0%}</p>"
        '<svg class="share" role="img" aria-label="shares of users" viewBox="0 0 100 4" preserveAspectRatio="none">'
        f'<rect class="champion" width="100" height="4"/>'
        f'<rect class="challenger" x="{100 * (1 - share):.2f}" width="{100 * share:.2f}" height="4"/></svg>'
    )


def _rollout(rollout: dict[str, Any]) -> str:
    shares = " → ".join(f"{share:.0%}" for share in rollout["shares"])
    step = f"step {rollout['step'] + 1} of {len(rollout['shares'])} ({shares})"
    look = (
        f"<p>next: <b>{escape(rollout['next'])}</b>, {escape(rollout['reason'])}</p>"
        if rollout["open"]
        else ""
    )
    cards = "".join(_card(name, signal) for name, signal in rollout["signals"].items())
    return (
        f"<h3>{'Rollout' if rollout['open'] else 'Last rollout'} of {escape(rollout['challenger'])} against "
        f"{escape(rollout['control'])}: {escape(rollout['state'].replace('_', ' '))}, {step}, since "
        f'{_time(rollout["started_at"])}</h3>{look}{_arms(rollout)}<h3>Signals</h3><p class="small">'
        "Challenger against control. Blue: the mean with its confidence band, valid at every look; red: the margin."
        f'</p><div class="cards">{cards}</div>{_pairs(rollout)}'
    )


def _arms(rollout: dict[str, Any]) -> str:
    head = (
        "arm",
        "address",
        "answers",
        "users",
        "failed",
        "cut off",
        "judged",
        "mean reward",
        "latency p50 / p95, ms",
    )
    rows = [
        [
            side,
            rollout[side],
            *(str(arm[name]) for name in ("requests", "users", "failed", "cancelled", "judged")),
            _number(arm["mean_reward"]),
            " / ".join(f"{value:.0f}" for value in (arm["latency_ms"] or {}).values()) or "–",
        ]
        for side, arm in rollout["arms"].items()
    ]
    return _table(head, rows)


def _card(name: str, signal: dict[str, Any]) -> str:
    kind, tag = signal["outcome"].split()[0], _TAGS[signal["outcome"]]
    shown = (
        _numbers(signal) + chart(name, signal) if signal["course"] else '<p class="none">no matches yet</p>'
    )
    return f'<div class="card {kind}"><span class="tag">{tag}</span><b>{escape(name)}</b>{shown}</div>'


def _numbers(signal: dict[str, Any]) -> str:
    margin = "no margin" if signal["limit"] is None else f"margin {_number(signal['limit'])}"
    mean = signal["course"][-1]["mean"]
    challenger, control = shown_means(signal, "–")
    return (
        f"<p>{challenger} against {control}; {signal['better']} is better</p>"
        f"<p>{signal['measure']} {_number(mean)}, between {_number(signal['low'])} and {_number(signal['high'])}; "
        f"{margin}</p>"
    )


def _pairs(rollout: dict[str, Any]) -> str:
    if not rollout["answers"]:
        return ""
    rows = "".join(f"<tr>{_pair(**pair)}</tr>" for pair in rollout["answers"])
    return (
        '<h3>Recent answers</h3><p class="small">To the same request in a shadow, else to the same question, else '
        'nearest in time.</p><table class="pairs"><tr><th>asked</th><th>challenger</th><th>control</th></tr>'
        f"{rows}</table>"
    )


def _pair(challenger: dict[str, Any] | None, control: dict[str, Any] | None) -> str:
    """What was asked, and both answers; a question of the control's own stands before its answer."""
    asked = (challenger or control or {})["question"]
    own = "" if control is None or control["question"] == asked else _pre(control["question"], "none")
    return f"<td>{_pre(asked, 'none')}</td><td>{_answer(challenger)}</td><td>{own}{_answer(control)}</td>"


def _answer(told: dict[str, Any] | None) -> str:
    if told is None:
        return '<p class="none">none yet</p>'
    seen = " · shadow" if told["shadow"] else ""
    error = f'<p class="error">failed: {escape(told["error"])}</p>' if told["error"] is not None else ""
    cut = '<p class="cut">cut off by the user</p>' if told["cancelled"] else ""
    return (
        f"{_pre(told['answer'], 'answer')}{error}{cut}"
        f'<p class="small">{_time(told["at"])} · {told["tokens"]} tokens · {told["latency_ms"]:.0f} ms{seen}</p>'
    )


def _pre(text: str, kind: str) -> str:
    return f'<pre class="{kind}">{escape(text)}</pre>'


def _ledger(model: dict[str, Any]) -> str:
    names = ("at", "action", "address", "champion", "weight", "by", "reason")
    rows = [
        [
            _time(entry["at"]),
            *(entry[name] for name in names[1:4]),
            f"{entry['weight']:.0%}",
            entry["by"],
            entry["reason"],
        ]
        for entry in model["ledger"]
    ]
    head = ("time", "move", "address", "champion after it", "challenger's share", "by", "reason")
    return f"<h3>Promotion ledger</h3>{_table(head, rows, 'long')}" if rows else ""


def _table(head: Iterable[str], rows: Iterable[Sequence[str]], last: str = "") -> str:
    """A table of short cells, which never break; the page scrolls it where it is too wide.

    Args:
        last: class of the last column's cells.
    """
    lines = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row[:-1])}"
        f'<td class="{last}">{escape(row[-1])}</td></tr>'
        for row in rows
    )
    heading = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    return f'<div class="wide"><table><tr>{heading}</tr>{lines}</table></div>'


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "\N{MINUS SIGN}")


def _time(at: str) -> str:
    """An ISO time in UTC without its zone, to the second."""
    return escape(at.replace("T", " ")[:19])
