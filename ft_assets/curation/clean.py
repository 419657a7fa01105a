"""Rows as they may be written down: text normalised, personal data and secrets replaced."""

from collections import Counter

import pyarrow as pa

from ft_assets.curation.normalise import normalise, normalise_json
from ft_assets.curation.pii.names import names_of
from ft_assets.curation.redaction import Redactor
from ft_assets.curation.turns import Columns, with_conversations
from ft_assets.recipe_data import Curation
from ft_assets.sources.example import Message, example_id


def clean(batch: pa.RecordBatch, settings: Curation, counts: Counter[str]) -> pa.RecordBatch:
    """The rows with their messages and rejected answers normalised, and redacted where `redact_pii` says so.

    Args:
        batch: rows of `EXAMPLE_SCHEMA`.
        counts: replacements by type are added to it.

    Ids are those of the cleaned rows, so a raw row and its clean form may differ in id.
    """
    columns = Columns(batch)
    names = names_of(settings)
    conversations, rejected, ids = [], [], []
    for messages, worse, liked in zip(
        columns.conversations, columns.rejected, columns.desirable, strict=True
    ):
        redactor = Redactor(names) if settings.redact_pii else None
        messages = [_clean(message, redactor) for message in messages]
        worse = worse and _clean(worse, redactor)
        counts.update(redactor.counts if redactor else {})
        conversations.append(messages)
        rejected.append(worse)
        ids.append(example_id(messages, worse, liked))
    return with_conversations(batch, ids, conversations, rejected)


def _clean(message: Message, redactor: Redactor | None) -> Message:
    content = normalise(message.content)
    calls = message.tool_calls and normalise_json(message.tool_calls)
    if redactor:
        content = redactor.text(content)
        calls = calls and redactor.json(calls)
    if content == message.content and calls == message.tool_calls:
        return message
    return Message(role=message.role, content=content, tool_calls=calls)
