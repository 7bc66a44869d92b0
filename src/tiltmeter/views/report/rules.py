"""Rules in words, for the method box of a report, and the key of its heatmap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.alerting.limits import watch_of
from tiltmeter.drawing.markup import Markup, element
from tiltmeter.drawing.style import SIZE_WORDS, STEP_CLASSES

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def heatmap_key(limits: Mapping[Severity, float]) -> Markup:
    """What the colours of a heatmap of PSI mean; shades of its size where no rule judges.

    Args:
        limits: where each severity begins; empty without a rule.
    """
    if not limits:
        steps = [(word, word) for word in SIZE_WORDS]
        note = element("span", "shades of its size: no rule judges it")
    else:
        watch = watch_of(limits)
        first = watch if watch is not None else min(limits.values())
        steps = [("ok", f"ok (up to {first:g})")]
        steps += [("watch", f"watch (above {watch:g})")] if watch is not None else []
        steps += [(severity.word, f"{severity.word} (above {limit:g})") for severity, limit in limits.items()]
        note = None
    return element("p", [_swatch(step, words) for step, words in steps], note, class_="key steps")


def _swatch(step: str, words: str) -> Markup:
    colour = f'<svg width="12" height="12"><rect class="{STEP_CLASSES[step]}" width="12" height="12"/></svg>'
    return element("span", Markup(colour), words)
