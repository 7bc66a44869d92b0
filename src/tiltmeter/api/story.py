"""A backtest in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.domain.metric import Status

if TYPE_CHECKING:
    from tiltmeter.api.backtest import Backtest


def backtest_sentence(found: Backtest) -> str:
    """How much would have fired, how often anybody would have been told, what was not judged; without a full stop."""
    critical, warning = found.alerts["critical"], found.alerts["warning"]
    total = len(found.windows)
    unjudged = [
        f"{count} {words}"
        for status, words in ((Status.TOO_FEW_ROWS, "with too few rows"), (Status.NO_DATA, "without rows"))
        if (count := sum(window.status is status for window in found.windows))
    ]
    judged = f"{found.judged} of {total} windows judged"
    if unjudged:
        judged += f" ({', '.join(unjudged)})"
    if not critical and not warning:
        return f"Nothing would have fired; {judged}"
    alerts = f"{critical} critical and {warning} warning alerts would have fired"
    often = found.messages_per_week or 0.0
    return f"{alerts}, {often:.1f} messages a week; {judged}"
