"""Rules in words, for the method box of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiltmeter.domain.rule import Limit, Rule
    from tiltmeter.domain.severity import Severity


def rule_words(rule: Rule) -> str:
    """What a rule asks for: limits, gates, rows."""
    limits = [f"{severity.word} {_limit(limit)}" for severity, limit in sorted(rule.levels.items())]
    gates = [f"{name} < {gate:g}" for name, gate in (("q", rule.q_below), ("p", rule.p_below)) if gate is not None]
    rows = [f"at least {rule.min_rows} rows a side"] if rule.min_rows else []
    return f"{rule.metric}: {', '.join([*limits, *gates, *rows])}"


def _limit(limit: Limit) -> str:
    return f"above {limit.above:g}" if limit.above is not None else f"below {limit.below:g}"


def limit_of(rules: Iterable[Rule], metric: str, severity: Severity) -> float | None:
    """The upper limit that the rules set for a metric; None without one."""
    for rule in rules:
        limit = rule.levels.get(severity)
        if rule.metric == metric and limit is not None and limit.above is not None:
            return limit.above
    return None
