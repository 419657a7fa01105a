"""Content-addressed partition keys such as `20261121T1005-ab12cd34`."""

from datetime import UTC, datetime


def new_key(digest: str) -> str:
    """A key that sorts by time and names its content."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M}-{digest[:8]}"


def address(model: str, adapter_digest: str) -> str:
    """How a candidate is called everywhere: `<model>@<digest12>`."""
    return f"{model}@{adapter_digest[:12]}"
