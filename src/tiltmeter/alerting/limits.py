"""What the rules say about one number, for all that draws or writes it: limits, severity, rows that it needs.

Pages, reports and pictures ask here, so that a number reads the same in all of them, and as an alert of it would.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tiltmeter.alerting.rules import covers, verdicts
from tiltmeter.domain.metric import Status, Subject
from tiltmeter.domain.severity import Severity
from tiltmeter.drawing.style import WATCH, step_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.rule import Rule

PSI, OVERALL_PSI = "drift.psi", "drift.overall_psi"
P95, ERROR_RATE = "serving.latency_ms.p95", "serving.error_rate"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a number reads.

    Args:
        severity: what the rules make of it; NONE where they are content, do not judge it or there is none.
        is_ruled: whether any rule speaks about it.
        is_judged: whether a rule could judge it: it has rows enough.
        why: why not, or what held a breach back.
    """

    severity: Severity = Severity.NONE
    is_ruled: bool = False
    is_judged: bool = False
    why: str = ""


_UNRULED, _FINE = Reading(), Reading(is_ruled=True, is_judged=True)


class Below(float):
    """A limit that a number must not fall under; any other limit is one that it must not pass."""


def rules_about(rules: Iterable[Rule], metric: str, subject: Subject) -> list[Rule]:
    """Rules that judge this metric of this subject: model, `by` labels and segment fit."""
    return [rule for rule in rules if rule.metric == metric and covers(rule, subject)]


def limits_of(rules: Iterable[Rule], metric: str, subject: Subject) -> dict[Severity, float]:
    """Where each severity of a number begins, the mildest first; of several rules the strictest. Empty without a rule.

    Limits of "below" rules are `Below`; where a severity has limits on both sides, the upper one is told.

    Args:
        rules: any; those about other metrics and subjects do not count.
        metric: catalogue name.
        subject: whose number.
    """
    above: dict[Severity, float] = {}
    below: dict[Severity, float] = {}
    for rule in rules_about(rules, metric, subject):
        for severity, limit in rule.levels.items():
            if limit.above is not None:
                above[severity] = min(limit.above, above.get(severity, limit.above))
            elif limit.below is not None:
                below[severity] = Below(max(limit.below, below.get(severity, limit.below)))
    return dict(sorted((below | above).items()))


def psi_limits(rules: Iterable[Rule], subject: Subject) -> dict[Severity, float]:
    """Limits of the PSI of a feature; of the score, or of all features together, where the subject names none."""
    return limits_of(rules, PSI if subject.feature else OVERALL_PSI, subject)


def named(limits: Mapping[Severity, float]) -> dict[str, float]:
    """Limits by the word of their severity, as charts write them."""
    return {severity.word: limit for severity, limit in limits.items()}


def limit_words(limits: Mapping[Severity, float], *, write: Callable[[float], str] = "{:g}".format) -> str:
    """`warning > 0.25, critical > 0.5`, or `warning < 0.95`; says so where no rule judges."""
    said = ", ".join(
        f"{severity.word} {'<' if isinstance(limit, Below) else '>'} {write(limit)}"
        for severity, limit in limits.items()
    )
    return said or "no rule judges it"


def psi_words(limits: Mapping[Severity, float]) -> str:
    """`watch > 0.1, warning > 0.25, critical > 0.5`: the steps of a heatmap; shades of its size without a rule."""
    watch = watch_of(limits)
    if not limits:
        return f"{limit_words(limits)}: shades of its size"
    return (f"watch > {watch:g}, " if watch is not None else "") + limit_words(limits)


def least_rows(rules: Iterable[Rule], metric: str, subject: Subject) -> int:
    """Rows from which on some rule judges this number; 0 without a rule."""
    return min((rule.min_rows for rule in rules_about(rules, metric, subject)), default=0)


def watch_of(limits: Mapping[Severity, float]) -> float | None:
    """PSI that is worth a look though no rule speaks; None where the rules begin as early."""
    return None if not limits or min(limits.values()) <= WATCH else WATCH


def worth_a_look(limits: Mapping[Severity, float]) -> float:
    """PSI from which on a feature is looked at more closely."""
    return min(WATCH, *limits.values()) if limits else WATCH


def readings(metrics: Sequence[Metric], rules: Iterable[Rule]) -> list[Reading]:
    """How each number reads, in order.

    Args:
        metrics: of one name, any windows and subjects.
        rules: any; those about other metrics and subjects do not count.
    """
    by_window: dict[object, list[int]] = defaultdict(list)
    for place, metric in enumerate(metrics):
        by_window[metric.window].append(place)
    names = {metric.name for metric in metrics}
    speaking = [rule for rule in rules if rule.metric in names]
    found = [_UNRULED] * len(metrics)
    for places in by_window.values():
        by_subject = {(metrics[place].name, metrics[place].subject): place for place in places}
        for verdict in verdicts([metrics[place] for place in by_subject.values()], speaking):
            if verdict.metric is None:
                continue
            place = by_subject[verdict.metric.name, verdict.subject]
            known = found[place]
            if known is _UNRULED and verdict.judged and not verdict.severity and not verdict.why:
                found[place] = _FINE  # nearly all of a heatmap
                continue
            found[place] = Reading(
                max(known.severity, verdict.severity), is_ruled=True, is_judged=known.is_judged or verdict.judged,
                why=known.why or verdict.why,
            )  # fmt: skip
    return found


def reading(metric: Metric, rules: Iterable[Rule]) -> Reading:
    """How one number reads."""
    return readings([metric], rules)[0]


def psi_steps(metrics: Sequence[Metric], rules: Sequence[Rule]) -> list[str]:
    """The step of a heatmap that each PSI stands on, by what the rules say; by its size alone where none judges.

    Args:
        metrics: `drift.psi` of features; PSI of the whole or of the score without a feature.
        rules: any; those about other metrics and subjects do not count.
    """
    judged = [metric if metric.subject.feature else replace(metric, name=OVERALL_PSI) for metric in metrics]
    watches: dict[tuple[str, str, bool, str, str], float | None] = {}
    steps = []
    for metric, read in zip(judged, readings(judged, rules), strict=True):
        one = metric.subject
        # No rule names a feature: all have the same limits.
        kind = one.model, one.model_version, bool(one.feature), one.segment_key, one.segment_value
        if kind not in watches:
            watches[kind] = watch_of(psi_limits(rules, one))
        is_known = read.is_judged if read.is_ruled else metric.status is Status.OK
        severity = read.severity if read.is_ruled else None
        steps.append(step_of(metric.value if is_known else None, severity, watch=watches[kind]))
    return steps
