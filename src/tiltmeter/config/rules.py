"""The rules part of the configuration (`rule_defaults` to `escalation`) as domain values.

`load_rules` reads a file, `parse_rules` a source that is already read, `check_rules` gives every complaint at once. A
section that a file leaves out is taken from the packaged defaults; the channels of default routes are then the
configured ones of the same kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import timedelta
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from tiltmeter.config import routing
from tiltmeter.config.reading import Reader
from tiltmeter.config.rule_words import check_words
from tiltmeter.config.units import duration
from tiltmeter.config.yaml_source import COMPILED, KeyPath, YamlSource, dotted, parse_yaml, read_yaml
from tiltmeter.domain.errors import ConfigError
from tiltmeter.domain.metric import MetricDeclaration, Unit
from tiltmeter.domain.rule import Absence, Hold, Inhibition, Limit, Rule, RuleSet
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.registry import did_you_mean

RULE_SECTIONS = ("rule_defaults", "rules", "inhibit", "mute_timings", "routes", "escalation")
"""Top-level keys that belong to the rules."""

LEVELS = ("info", "warning", "critical")

_DEFAULT_KEYS = ("no_data", "on_error", "min_rows", "for", "resolve_after", "keep_firing", "act_on")
_RULE_KEYS = (
    "id", "metric", "by", "every", "over", "up_to", "levels", "q_below", "p_below", "models", "mute", "runbook",
    "annotations", *_DEFAULT_KEYS,
)  # fmt: skip
_LIMIT_KEYS = ("above", "below", "clear_below", "clear_above")
_GRAINS = {grain.value: grain for grain in Grain if grain is not Grain.LIVE}
_UP_TO = timedelta(hours=1)
"""Longest span of a live rule that waits for enough requests (statistics.md section 5)."""

_SERVING = "serving."


def load_rules(path: Path | None = None) -> RuleSet:
    """Rules of a file, or the packaged defaults.

    Raises:
        ConfigError: the first thing that is wrong, with file:line and what to do.
    """
    if path is None:
        return parse_rules(default_source())
    source = read_yaml(path)
    return parse_rules(source)


def parse_rules(
    source: YamlSource,
    *,
    channels: Collection[str] | Mapping[str, Any] | None = None,
    models: Collection[str] | None = None,
    catalogue: Mapping[str, MetricDeclaration] = CATALOGUE,
    base: RuleSet | None = None,
) -> RuleSet:
    """Rules of a source.

    Args:
        source: a rules file, or the whole configuration.
        channels: configured channels, by name with their settings or kind; None leaves channel names unchecked.
        models: configured models; None or empty leaves model names unchecked.
        catalogue: known metrics.
        base: where sections come from that the source leaves out; the packaged defaults by default.

    Raises:
        ConfigError: the first thing that is wrong, and how many more there are.
    """
    found, problems = check_rules(source, channels=channels, models=models, catalogue=catalogue, base=base)
    if problems:
        first, more = problems[0], len(problems) - 1
        what = f"{first.what} (and {more} more)" if more else first.what
        raise ConfigError(what, at=first.at, hint=first.hint)
    return found


def check_rules(
    source: YamlSource,
    *,
    channels: Collection[str] | Mapping[str, Any] | None = None,
    models: Collection[str] | None = None,
    catalogue: Mapping[str, MetricDeclaration] = CATALOGUE,
    base: RuleSet | None = None,
) -> tuple[RuleSet, list[ConfigError]]:
    """The same with every complaint instead of the first; the rules are only good when there is none."""
    reader = Reader(source)
    defaults = _defaults(reader)
    fallback = base or _base(source)
    timings = routing.mute_timings(reader) if reader.has(("mute_timings",)) else dict(fallback.mute_timings)
    rules = fallback.rules
    if reader.has(("rules",)):
        rules = tuple(_rule(reader, ("rules", i), defaults, catalogue) for i, _ in enumerate(reader.items(("rules",))))
    _check_rules(reader, rules, timings, models)
    inhibitions = _inhibitions(reader, rules) if reader.has(("inhibit",)) else _applicable(fallback, rules)
    routes, escalations = routing.routes_and_escalations(reader, fallback, channels)
    found = RuleSet(rules, inhibitions, timings, routes, escalations)
    return RuleSet(rules, inhibitions, timings, routes, escalations, _revision(found)), reader.problems


def default_source() -> YamlSource:
    """The packaged rules file."""
    text = files("tiltmeter.config").joinpath("default_rules.yaml").read_text(encoding="utf-8")
    return parse_yaml(text, name="default_rules.yaml", parser=COMPILED)


@cache
def _packaged() -> RuleSet:
    return parse_rules(default_source(), base=RuleSet(()))


def _base(source: YamlSource) -> RuleSet:
    return RuleSet(()) if source.name == "default_rules.yaml" else _packaged()


def _revision(rules: RuleSet) -> str:
    plain = msgspec.json.encode(
        [
            [_plain_rule(rule) for rule in rules.rules],
            rules.inhibitions,
            rules.mute_timings,
            rules.routes,
            rules.escalations,
        ]
    )
    return hashlib.blake2b(plain, digest_size=6).hexdigest()


def _plain_rule(rule: Rule) -> dict[str, Any]:
    # Where a rule stands in its file is no part of what it says.
    plain: dict[str, Any] = msgspec.to_builtins(rule)
    del plain["at"]
    return plain


def _defaults(reader: Reader) -> dict[str, Any]:
    return reader.section(("rule_defaults",), _DEFAULT_KEYS)


def _rule(
    reader: Reader, path: KeyPath, defaults: Mapping[str, Any], catalogue: Mapping[str, MetricDeclaration]
) -> Rule:
    written = reader.section(path, _RULE_KEYS)

    def place(key: str) -> KeyPath:
        return (*path, key) if key in written or key not in defaults else ("rule_defaults", key)

    for key in ("id", "metric", "levels"):
        if key not in written:
            reader.complain(path, f'{dotted(path)} has no "{key}"')
    metric = _metric(reader, (*path, "metric"), catalogue)
    declared = catalogue.get(metric)
    every = _every(reader, (*path, "every"))
    over = reader.duration((*path, "over"))
    up_to = reader.duration((*path, "up_to"))
    if up_to is None and isinstance(every, timedelta) and metric.startswith(_SERVING):
        up_to = max(_UP_TO, over or every)
    if over is not None and up_to is not None and up_to < over:
        reader.complain((*path, "up_to"), f"{dotted(path)}.up_to is shorter than over")
    return Rule(
        id=reader.text((*path, "id")),
        metric=metric,
        levels=_levels(reader, (*path, "levels"), declared.unit if declared else Unit.NONE),
        by=reader.names((*path, "by")),
        every=every,
        over=over,
        up_to=up_to,
        hold=_hold(reader, place("for")),
        resolve_after=reader.integer(place("resolve_after"), 2, least=1),
        keep_firing=reader.duration(place("keep_firing")) or timedelta(0),
        min_rows=reader.integer(place("min_rows"), 200),
        q_below=_probability(reader, (*path, "q_below")),
        p_below=_probability(reader, (*path, "p_below")),
        act_on=reader.choice(place("act_on"), ("value", "lower_bound"), "value"),
        no_data=Absence(reader.choice(place("no_data"), [word.value for word in Absence], "keep")),
        on_error=Absence(reader.choice(place("on_error"), [word.value for word in Absence], "keep")),
        models=reader.names((*path, "models")),
        mute=reader.names((*path, "mute")),
        runbook=reader.text((*path, "runbook")),
        annotations={key: reader.text((*path, "annotations", key)) for key in reader.section((*path, "annotations"))},
        at=reader.source.at(*path),
    )


def _metric(reader: Reader, path: KeyPath, catalogue: Mapping[str, MetricDeclaration]) -> str:
    name = reader.text(path)
    if name and name not in catalogue:
        reader.complain(path, f'there is no metric "{name}"', hint=did_you_mean(name, list(catalogue)))
    return name


def _every(reader: Reader, path: KeyPath) -> Grain | timedelta:
    word = reader.node(path)
    if word is None:
        return Grain.DAY
    if isinstance(word, str) and word in _GRAINS:
        return _GRAINS[word]
    try:
        return duration(word)
    except ConfigError:
        reader.complain(path, f'{dotted(path)} is "{word}"', hint=f"write {', '.join(_GRAINS)}, or a time such as 10s")
        return Grain.DAY


def _hold(reader: Reader, path: KeyPath) -> Hold:
    word = reader.node(path)
    if word is None or isinstance(word, int):
        return Hold(windows=reader.integer(path, 1, least=1))
    length = reader.duration(path)
    return Hold(windows=None, time=length) if length else Hold()


def _probability(reader: Reader, path: KeyPath) -> float | None:
    value = reader.number(path)
    if value is not None and not 0 < value <= 1:
        reader.complain(path, f"{dotted(path)} is {value:g}", hint="a probability lies in (0, 1]")
        return None
    return value


def _levels(reader: Reader, path: KeyPath, unit: Unit) -> dict[Severity, Limit]:
    levels: dict[Severity, Limit] = {}
    written = reader.section(path, LEVELS)
    if not written and reader.has(path):
        reader.complain(path, f"{dotted(path)} is empty", hint="write at least one of info, warning, critical")
    for word in LEVELS:
        if word in written:
            levels[Severity.of(word)] = _limit(reader, (*path, word), unit)
    _check_order(reader, path, levels)
    return levels


def _limit(reader: Reader, path: KeyPath, unit: Unit) -> Limit:
    reader.section(path, _LIMIT_KEYS)
    above, below, clear_below, clear_above = (_amount(reader, (*path, key), unit) for key in _LIMIT_KEYS)
    if (above is None) == (below is None):
        reader.complain(path, f"{dotted(path)} needs exactly one of above and below")
    elif (above is None and clear_below is not None) or (below is None and clear_above is not None):
        reader.complain(path, f"{dotted(path)}: clear_below goes with above, clear_above with below")
    elif above is not None and clear_below is not None and clear_below >= above:
        what = f"{dotted(path)}.clear_below is {clear_below:g}, not below {above:g}"
        reader.complain((*path, "clear_below"), what, hint="an alert is over only on the safe side of its limit")
    elif below is not None and clear_above is not None and clear_above <= below:
        what = f"{dotted(path)}.clear_above is {clear_above:g}, not above {below:g}"
        reader.complain((*path, "clear_above"), what, hint="an alert is over only on the safe side of its limit")
    return Limit(above, below, clear_below, clear_above)


def _amount(reader: Reader, path: KeyPath, unit: Unit) -> float | None:
    word = reader.node(path)
    if not isinstance(word, str):
        return reader.number(path)
    if unit is Unit.SHARE and word.endswith("%"):
        try:
            return float(word.removesuffix("%")) / 100
        except ValueError:
            pass
    per_second = {Unit.SECONDS: 1.0, Unit.MILLISECONDS: 1000.0}.get(unit)
    if per_second is None:
        reader.complain(path, f'{dotted(path)} is "{word}"', hint=f"write a number; the metric's unit is {unit.value}")
        return None
    length = reader.duration(path)
    return None if length is None else length.total_seconds() * per_second


def _check_order(reader: Reader, path: KeyPath, levels: Mapping[Severity, Limit]) -> None:
    ordered = sorted(levels.items())
    for (milder, mild), (worse, bad) in pairwise(ordered):
        if mild.above is not None and bad.above is not None:
            wrong, key, word, limit, other = bad.above <= mild.above, "above", "not above", bad.above, mild.above
        elif mild.below is not None and bad.below is not None:
            wrong, key, word, limit, other = bad.below >= mild.below, "below", "not below", bad.below, mild.below
        else:
            reader.complain((*path, worse.word), f"{dotted(path)}: all levels must look in the same direction")
            continue
        if wrong:
            reader.complain(
                (*path, worse.word, key),
                f"{dotted((*path, worse.word, key))} is {limit:g}, {word} {milder.word} {other:g}",
                hint=f"{worse.word} must be the stricter limit; swap the two?",
            )


def _check_rules(
    reader: Reader, rules: tuple[Rule, ...], timings: Collection[str], models: Collection[str] | None
) -> None:
    if not reader.has(("rules",)):
        return
    first: dict[str, str] = {}
    for position, rule in enumerate(rules):
        path: KeyPath = ("rules", position)
        if rule.id in first:
            reader.complain((*path, "id"), f'the rule id "{rule.id}" stands twice', hint=f"first at {first[rule.id]}")
        first.setdefault(rule.id, rule.at)
        check_words(reader, path, rule)
        for name in rule.mute:
            if name not in timings:
                reader.complain(
                    (*path, "mute"), f'there is no mute timing "{name}"', hint=did_you_mean(name, list(timings))
                )
        for name in rule.models:
            if models and name not in models:
                reader.complain((*path, "models"), f'there is no model "{name}"', hint=did_you_mean(name, list(models)))


def _inhibitions(reader: Reader, rules: tuple[Rule, ...]) -> tuple[Inhibition, ...]:
    known = [rule.id for rule in rules]
    found = []
    for position, _ in enumerate(reader.items(("inhibit",))):
        path: KeyPath = ("inhibit", position)
        reader.section(path, ("source", "target", "equal"))
        reader.section((*path, "source"), ("rule",))
        reader.section((*path, "target"), ("rules", "rule"))
        source = reader.text((*path, "source", "rule"))
        targets = reader.names((*path, "target", "rules")) + reader.names((*path, "target", "rule"))
        if not source or not targets:
            reader.complain(path, f"{dotted(path)} needs source.rule and target.rules")
        for name, place in ((source, (*path, "source", "rule")), *((t, (*path, "target", "rules")) for t in targets)):
            if name and name not in known:
                reader.complain(place, f'there is no rule "{name}"', hint=did_you_mean(name, known))
        if source in targets:
            reader.complain((*path, "target"), f'the rule "{source}" would inhibit itself')
        found.append(Inhibition(source, targets, reader.names((*path, "equal"))))
    return tuple(found)


def _applicable(base: RuleSet, rules: tuple[Rule, ...]) -> tuple[Inhibition, ...]:
    """Default inhibitions whose rules the file still has."""
    known = {rule.id for rule in rules}
    return tuple(
        Inhibition(i.source_rule, tuple(t for t in i.target_rules if t in known), i.equal)
        for i in base.inhibitions
        if i.source_rule in known and known.intersection(i.target_rules)
    )
