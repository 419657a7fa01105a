"""A signal's means of the challenger and of the control, as people read them."""

from typing import Any


def shown_means(signal: dict[str, Any], unknown: str = "-") -> tuple[str, str]:
    """Both means of a signal that `weigh_signal` has weighed: in its unit where it has one.

    What is tested of such a signal is a share of a scale that moves, which says nothing to a reader.
    """
    if signal.get("unit"):  # figures that were written down before there were units have none
        challenger, control = (unknown if mean is None else f"{mean:.1f}" for mean in signal["plain"])
        return f"{challenger} {signal['unit']}", f"{control} {signal['unit']}"
    means = (signal["challenger"], signal["control"])
    challenger, control = (unknown if mean is None else f"{mean:.3f}" for mean in means)
    return challenger, control
