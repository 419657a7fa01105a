"""What redaction finds on the labelled set and what it costs, beside Presidio with its defaults.

A value is found when one find of its type covers all of it, and replaced when one of any type does. A find is right
when it lies on a value of its type, and a false alarm when it lies on none.
"""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from benchmarks.pii_set import Labelled, labelled
from ft_assets.curation.redaction import Found, find
from ft_assets.sources.docstrings import read_docstrings

Finder = Callable[[str], list[Found]]
_ROWS = 2_000
_RUNS = 3
_FUNCTIONS = 1_000
_PACKAGES = (
    "argparse",
    "asyncio",
    "concurrent",
    "email",
    "http",
    "json",
    "logging",
    "tarfile",
    "unittest",
    "urllib",
)
_WORDS = [
    "the",
    "order",
    "a",
    "customer",
    "please",
    "help",
    "with",
    "account",
    "payment",
    "delivery",
    "question",
    "about",
    "my",
    "new",
    "product",
    "was",
    "returned",
    "refund",
    "support",
    "yesterday",
    "when",
    "how",
    "is",
    "it",
    "not",
    "working",
    "today",
    "can",
    "you",
    "tell",
    "me",
    "more",
    "thanks",
    "for",
    "your",
    "answer",
    "we",
    "have",
    "looked",
    "into",
    "this",
    "and",
    "will",
    "send",
    "another",
    "one",
    "next",
    "week",
    "if",
    "that",
    "suits",
    "you",
    "best",
    "regards",
    "from",
    "all",
    "of",
    "our",
    "team",
]
_PRESIDIO_TYPES = {"EMAIL_ADDRESS": "EMAIL", "PHONE_NUMBER": "PHONE", "CREDIT_CARD": "CARD", "IBAN_CODE": "IBAN",
                   "IP_ADDRESS": "IP", "MAC_ADDRESS": "MAC"}  # fmt: skip


def measure() -> dict:
    """`{"entities", "texts", "ours": {…}, "peers": {"presidio": {…}}, "ratio": {…}}`; rates are of one core.

    `rows_per_s` is over rows of two turns and about 60 words, of which 5 % hold one value of the set; `code` counts
    functions of the standard library and what is found in them.
    """
    texts = labelled()
    presidio = presidio_with_defaults()
    arms: dict[str, Finder] = {
        "ours": find,
        "unscreened": lambda text: find(text, screened=False),
        "presidio": presidio,
    }
    rates = _rates(arms, _rows(texts))
    ours = {**score(texts, find), "rows_per_s": rates["ours"], "rows_per_s_unscreened": rates["unscreened"]}
    ours["screen_loses"] = sum(find(each.text) != find(each.text, screened=False) for each in texts)
    ours["code"], peer_code = (finds_in_code(finder) for finder in (find, presidio))
    peer = {**score(texts, presidio), "rows_per_s": rates["presidio"], "code": peer_code}
    return {
        "entities": sum(len(each.entities) for each in texts),
        "texts": len(texts),
        "ours": ours,
        "peers": {"presidio": peer},
        "ratio": {"rows_per_s": round(ours["rows_per_s"] / peer["rows_per_s"], 1)},
    }


def score(texts: Iterable[Labelled], finder: Finder) -> dict[str, Any]:
    """Shares over all, `false_alarms` as a count, and the shares by type in `types`."""
    entities: Counter[str] = Counter()
    recalled: Counter[str] = Counter()
    replaced: Counter[str] = Counter()
    finds: Counter[str] = Counter()
    right: Counter[str] = Counter()
    false_alarms = 0
    for each in texts:
        found = finder(each.text)
        for start, end, type in each.entities:
            entities[type] += 1
            recalled[type] += any(s <= start and end <= e and kind == type for s, e, kind in found)
            replaced[type] += any(s <= start and end <= e for s, e, kind in found)
        for start, end, type in found:
            finds[type] += 1
            met = {kind for s, e, kind in each.entities if s < end and start < e}
            right[type] += type in met
            false_alarms += not met
    types = {
        type: {
            "entities": entities[type],
            "recall": _share(recalled[type], entities[type]),
            "precision": _share(right[type], finds[type]),
            "replaced": _share(replaced[type], entities[type]),
        }
        for type in sorted({*entities, *finds})
    }
    return {
        "recall": _share(recalled.total(), entities.total()),
        "precision": _share(right.total(), finds.total()),
        "replaced": _share(replaced.total(), entities.total()),
        "false_alarms": false_alarms,
        "types": types,
    }


def finds_in_code(finder: Finder) -> dict[str, int]:
    """Finds in functions of the standard library, which hold hardly anything to find: `{"functions", "finds"}`."""
    functions = [example.prompt for example in read_docstrings(_PACKAGES, "PSF-2.0", _FUNCTIONS)]
    return {"functions": len(functions), "finds": sum(len(finder(code)) for code in functions)}


def presidio_with_defaults() -> Finder:
    """Presidio's default recognisers for English at the usual threshold of 0.5, without a language model.

    Its e-mail recogniser uses the suffix list that tldextract ships. Types that we do not have keep their names.
    """
    find("ann@example.com")  # loads Presidio as curation does, without torch
    import tldextract
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers()
    registry.remove_recognizer("SpacyRecognizer")
    no_model = NoOpNlpEngine(models=[{"lang_code": "en", "model_name": "none"}])
    engine = AnalyzerEngine(registry=registry, nlp_engine=no_model, default_score_threshold=0.5)

    def finder(text: str) -> list[Found]:
        found = engine.analyze(text, language="en")
        return [
            (each.start, each.end, _PRESIDIO_TYPES.get(each.entity_type, each.entity_type)) for each in found
        ]

    return finder


def _rows(texts: list[Labelled]) -> list[tuple[str, str]]:
    random = Random(1)
    holding = itertools.cycle([each.text for each in texts if each.entities])
    rows = []
    for number in range(_ROWS):
        prompt, answer = (" ".join(random.choices(_WORDS, k=30)) for _ in range(2))
        rows.append((f"{prompt} {next(holding)}" if number % 20 == 0 else prompt, answer))
    return rows


def _rates(arms: dict[str, Finder], rows: list[tuple[str, str]]) -> dict[str, float]:
    """Rows a second of processor time: the best of runs that take turns."""
    best = dict.fromkeys(arms, 0.0)
    for _, (name, finder) in itertools.product(range(_RUNS), arms.items()):
        some = rows if name == "ours" else rows[: len(rows) // 10]
        started = time.process_time()
        for row in some:
            for text in row:
                finder(text)
        best[name] = max(best[name], round(len(some) / (time.process_time() - started), 1))
    return best


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None
