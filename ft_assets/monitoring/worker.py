"""The child process that imports Evidently: `python -m ft_assets.monitoring.worker SPEC`.

SPEC is a JSON file: `reference` and `current` (Parquet files), `tests` (method and threshold of each column),
`html` and `figures` (files to write). Figures are `{column: {method, score, threshold, drifted}}`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd  # noqa: TID253
from evidently import DataDefinition, Dataset, Report  # noqa: TID253
from evidently.core.report import Snapshot  # noqa: TID253
from evidently.legacy.calculations.stattests import StatTest, register_stattest  # noqa: TID253
from evidently.legacy.core import ColumnType  # noqa: TID253
from evidently.legacy.utils.data_drift_utils import calculate_text_drift_score  # noqa: TID253
from evidently.metrics import ValueDrift  # noqa: TID253
from scipy.stats import chi2_contingency

from ft_assets.storage.parents import exit_with_parent

_FEW = 5
"""Values expected less often than this are pooled: the chi-square approximation is poor for them."""


def main(spec_file: str) -> None:
    """Compare, and write the report and its figures."""
    spec = json.loads(Path(spec_file).read_text())
    reference, current = (pd.read_parquet(spec[side]) for side in ("reference", "current"))
    snapshot = compare(reference, current, spec["tests"])
    snapshot.save_html(spec["html"])
    Path(spec["figures"]).write_text(json.dumps(figures(snapshot)))


def compare(reference: pd.DataFrame, current: pd.DataFrame, tests: dict[str, dict[str, Any]]) -> Snapshot:
    """Run Evidently's drift test of every column in `tests`."""
    _register()
    definition = DataDefinition(
        text_columns=[name for name in tests if name == "prompt"],
        numerical_columns=[name for name in tests if name.endswith("_chars")],
        categorical_columns=[name for name in tests if name == "slice"],
    )
    report = Report([ValueDrift(column=name, **test) for name, test in tests.items()], include_tests=True)
    now, then = (Dataset.from_pandas(side.filter(list(tests)), definition) for side in (current, reference))
    return report.run(now, then)


def figures(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """What each column's test said."""
    found = snapshot.dict()
    return {
        metric["config"]["column"]: {
            "method": metric["config"]["method"],
            "score": float(metric["value"]),
            "threshold": metric["config"]["threshold"],
            "drifted": test["status"].value == "FAIL",
        }
        for metric, test in zip(found["metrics"], found["tests"], strict=True)
    }


def _register() -> None:
    """Add two tests to Evidently's register, whose own ones raise false alarms on these columns."""
    classifier = StatTest("domain_classifier", "domain classifier, ROC AUC", [ColumnType.Text])
    register_stattest(classifier, _domain_classifier)
    contingency = StatTest("contingency", "chi-square contingency p_value", [ColumnType.Categorical])
    register_stattest(contingency, _contingency)


def _domain_classifier(
    reference: pd.Series, current: pd.Series, _type: ColumnType, threshold: float
) -> tuple[float, bool]:
    """Evidently's domain classifier, where prompts that share all their words cannot be told apart."""
    try:
        return calculate_text_drift_score(reference, current, bootstrap=False, threshold=threshold)
    except ValueError as error:
        if "no terms remain" in str(error) or "empty vocabulary" in str(error):
            return 0.5, False
        raise


def _contingency(
    reference: pd.Series, current: pd.Series, _type: ColumnType, threshold: float
) -> tuple[float, bool]:
    """Chi-square test that both samples come from one distribution.

    Evidently's own takes the reference's shares as exact, so a value that the reference happens to lack is
    infinitely surprising, however rare it is.
    """
    counts = pd.concat([reference.value_counts(), current.value_counts()], axis=1).fillna(0)
    share = min(len(reference), len(current)) / (len(reference) + len(current))
    rare = counts.sum(axis=1) * share < _FEW
    pooled = [*counts[~rare].to_numpy(), counts[rare].sum().to_numpy()]
    table = [row for row in pooled if row.sum() > 0]
    if len(table) < 2:
        return 1.0, False
    outcome: Any = chi2_contingency(table)
    return float(outcome.pvalue), float(outcome.pvalue) <= threshold


if __name__ == "__main__":
    exit_with_parent()
    main(sys.argv[1])
