"""Tasks of the harness that need nothing but the folder that they are in."""

import json
from pathlib import Path

_TASK = """task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {rows}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{label}}}}"
metric_list:
  - metric: {metric}
    aggregation: mean
    higher_is_better: true
"""


def write_tasks(folder: Path) -> Path:
    """`one` and `two`, of ten questions each, and `unmarked`, which marks no single row right or wrong."""
    folder.mkdir()
    rows = folder / "rows.jsonl"
    asked = ({"question": f"Say {at}", "choices": ["yes", "no"], "label": at % 2} for at in range(10))
    rows.write_text("\n".join(map(json.dumps, asked)))
    for task, metric in (("one", "acc"), ("two", "acc"), ("unmarked", "acc_norm")):
        (folder / f"{task}.yaml").write_text(_TASK.format(task=task, metric=metric, rows=rows))
    return folder
