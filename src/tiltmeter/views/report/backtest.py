"""The page of a backtest: the sentence, what moved when, what would have fired, the method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.alerting.limits import OVERALL_PSI, PSI, limits_of, named, psi_limits, psi_steps
from tiltmeter.api.as_json import DEFINITION
from tiltmeter.api.history import window_name
from tiltmeter.api.story import backtest_sentence
from tiltmeter.api.summary import number, percent
from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.domain.severity import Severity
from tiltmeter.drawing.markup import Markup, element, joined
from tiltmeter.drawing.style import NOT_JUDGED
from tiltmeter.drawing.timelines import heatmap, timeline
from tiltmeter.monitors.effects import shortened
from tiltmeter.views.report.rules import heatmap_key, rule_words
from tiltmeter.views.report.shell import BROAD, answer, badge, box, fitting, fragment, grid, page, tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiltmeter.api.backtest import Backtest
    from tiltmeter.api.judged_windows import Episode, JudgedWindow

_FIRST_FEATURES = 15
_MOST_CELLS = 12_000
"""Cells of all heatmaps together; beyond it only the worst features are drawn."""
_MOST_SLIM_WINDOWS = 60
"""Beyond it a window is narrower than four points on a phone."""
_MOST_ALERTS = 200
_MOST_WINDOWS = 400
_STATUS_WORDS = {Status.OK: "judged", Status.NO_DATA: "no rows", Status.TOO_FEW_ROWS: "too few rows"}


def backtest_page(found: Backtest) -> str:
    """One self-contained page."""
    names = [window_name(judged.window, found.zone) for judged in found.windows]
    source = "/".join(found.source.rstrip("/").split("/")[-2:])
    return page(
        f"Tiltmeter: history of {source}",
        element("h1", f"History of {source}, {names[0]} to {names[-1]}" if names else f"History of {source}"),
        answer(backtest_sentence(found), _worst(found)),
        tiles(_facts(found)),
        _overall(found, names),
        _features(found, names),
        _alerts(found),
        _windows(found, names),
        _method(found),
    )


def notebook_view(found: Backtest) -> str:
    """What a notebook shows: the sentence, the numbers, what moved when, what would have fired."""
    names = [window_name(judged.window, found.zone) for judged in found.windows]
    return fragment(
        answer(backtest_sentence(found), _worst(found)),
        tiles(_facts(found)),
        _overall(found, names),
        _features(found, names),
        _alerts(found),
    )


def _worst(found: Backtest) -> Severity:
    return max((episode.severity for episode in found.episodes), default=Severity.NONE)


def _facts(found: Backtest) -> list[tuple[str, str]]:
    often = found.messages_per_week
    return [
        (f"{found.judged} of {len(found.windows)}", "windows judged"),
        (str(found.alerts["critical"]), "critical alerts"),
        (str(found.alerts["warning"]), "warning alerts"),
        (str(found.messages), "messages to people"),
        ("–" if often is None else f"{often:.2g}", "messages a week"),
    ]


def _overall(found: Backtest, names: Sequence[str]) -> Markup:
    judged = found.windows
    has_score = any(window.overall is not None and window.overall.score_psi is not None for window in judged)
    values = [_overall_psi(window, has_score=has_score) for window in judged]
    what = "PSI of the score" if has_score else "Weighted PSI of the features"
    picture = _fitted(
        lambda width: timeline(
            values, names, label=f"{what} by window", width=width, height=170,
            limits=named(limits_of(found.rules, OVERALL_PSI, Subject(found.model))),
        ),
        names,
    )  # fmt: skip
    parts: list[object] = [element("h2", what), picture]
    rates = [window.conversion_rate if window.status is Status.OK else None for window in judged]
    if any(rate is not None for rate in rates):
        line = _fitted(
            lambda width: timeline(
                rates, names, label="Conversion rate by window", width=width, height=140, write=percent
            ),
            names,
        )
        parts += [element("h2", "Conversion rate"), line]
    return joined(parts)


def _fitted(draw: Callable[[int], Markup], names: Sequence[str]) -> Markup:
    """A picture for a desk and one for a phone, or one that is moved sideways where a phone has no room for it."""
    if len(names) <= _MOST_SLIM_WINDOWS:
        return fitting(draw)
    return element("div", draw(BROAD), class_="wide")


def _overall_psi(window: JudgedWindow, *, has_score: bool) -> float | None:
    if window.status is not Status.OK or window.overall is None:
        return None
    return window.overall.score_psi if has_score else window.overall.psi


def _features(found: Backtest, names: Sequence[str]) -> Markup | None:
    order = _feature_order(found.windows)
    if not order:
        return None
    drawn = order[: max(_FIRST_FEATURES, _MOST_CELLS // max(1, len(found.windows)))]
    first, rest = drawn[:_FIRST_FEATURES], drawn[_FIRST_FEATURES:]
    folded = None
    if rest:
        words = f"{len(rest)} more features"
        folded = element("details", element("summary", words), _heat(found, rest, names))
    return joined(
        [
            element("h2", "PSI by feature and window"),
            heatmap_key(psi_limits(found.rules, Subject(found.model, feature=order[0]))),
            _heat(found, first, names),
            folded,
        ]
    )


def _feature_order(windows: Sequence[JudgedWindow]) -> list[str]:
    """Features by the worst severity they had, then by their mean PSI."""
    worst: dict[str, int] = {}
    total: dict[str, float] = {}
    for window in windows:
        for name, feature in window.features.items():
            worst[name] = max(worst.get(name, 0), int(feature.severity))
            judged = window.status is Status.OK and feature.psi is not None
            total[name] = total.get(name, 0.0) + (feature.psi or 0.0 if judged else 0.0)
    return sorted(worst, key=lambda name: (-worst[name], -total[name], name))


def _heat(found: Backtest, features: Sequence[str], names: Sequence[str]) -> Markup:
    rows = {name: _read(found, name) for name in features}
    return _fitted(
        lambda width: heatmap(
            rows, names, label="PSI by feature and window", write=shortened, width=width, explains=width == BROAD
        ),
        names,
    )


def _read(found: Backtest, name: str) -> list[tuple[float | None, str]]:
    """PSI of a feature by window and how each reads."""
    metrics = [
        Metric(
            PSI, Subject(found.model, feature=name), window.window, feature.psi, window.status,
            q_value=feature.psi_q_value, n_current=window.rows,
        )
        if (feature := window.features.get(name)) is not None
        else Metric(PSI, Subject(found.model, feature=name), window.window, None, Status.NO_DATA)
        for window in found.windows
    ]  # fmt: skip
    steps = psi_steps(metrics, found.rules)
    return [(None if step == NOT_JUDGED else metric.value, step) for metric, step in zip(metrics, steps, strict=True)]


def _alerts(found: Backtest) -> Markup:
    loud = [episode for episode in found.episodes if episode.severity >= Severity.WARNING]
    info = len(found.episodes) - len(loud)
    note = f"{info} findings at info, which tell nobody, are left out. " if info else ""
    if len(loud) > _MOST_ALERTS:
        note += f"The first {_MOST_ALERTS} of {len(loud)} alerts stand here."
    titles = ("what", "severity", "rule", "since", "until", "windows", "what had changed")
    table = grid(
        titles, [_alert_row(one, found) for one in loud[:_MOST_ALERTS]], numbers=("windows",), full=titles[-1:]
    )
    return joined(
        [
            element("h2", "What would have fired"),
            table if loud else element("p", "Nothing."),
            element("p", note, class_="faint") if note else None,
        ]
    )


def _whole(episode: Episode, found: Backtest) -> str:
    """What an alert without a feature speaks about: the overall PSI is the score's where there is a score."""
    of_score = {rule.id for rule in found.rules if rule.metric in {"drift.overall_psi", "drift.score_psi"}}
    return "score" if found.reference.bins.score and episode.rule in of_score else "all features"


def _alert_row(episode: Episode, found: Backtest) -> list[object]:
    zone = found.zone
    until = "still open" if episode.until is None else f"{episode.until.astimezone(zone):%Y-%m-%d %H:%M}"
    return [
        shortened(episode.feature) or _whole(episode, found),
        badge(episode.severity),
        element("span", episode.rule, class_="k"),
        element("span", f"{episode.since.astimezone(zone):%Y-%m-%d %H:%M}", class_="k"),
        element("span", until, class_="k"),
        str(episode.windows),
        episode.effect,
    ]


def _windows(found: Backtest, names: Sequence[str]) -> Markup:
    titles = ("window", "status", "rows", "overall PSI", "critical", "warning", "conversion")
    rows = [_window_row(name, judged) for name, judged in zip(names, found.windows, strict=True)]
    shown = rows[-_MOST_WINDOWS:]
    words = f"All {len(rows)} windows" if len(shown) == len(rows) else f"The last {len(shown)} of {len(rows)} windows"
    return element("details", element("summary", words), grid(titles, shown, numbers=titles[2:]))


def _window_row(name: str, judged: JudgedWindow) -> list[object]:
    overall = judged.overall
    if overall is None:
        return [name, _STATUS_WORDS[judged.status], "0", "–", "–", "–", "–"]
    return [
        name,
        _STATUS_WORDS[judged.status],
        f"{judged.rows:,}",
        number(overall.score_psi if overall.score_psi is not None else overall.psi),
        str(overall.features_critical),
        str(overall.features_warning),
        percent(judged.conversion_rate),
    ]


def _method(found: Backtest) -> Markup:
    bins = found.reference.bins
    return box(
        "Method",
        [
            ("Baseline", f"{found.reference.profile.rows:,} rows, bins {bins.bins_id}, made from {bins.fit_rule}"),
            ("Calendar", str(found.zone)),
            ("Lifecycle", "the code that judges live; `for` and `resolve_after` count windows, reminders are left out"),
            ("Messages", "one for all channels that would have got it; alerts of one incident share messages"),
            ("Cells", DEFINITION["bins"]),
            ("Rules", joined([element("div", rule_words(rule)) for rule in found.rules])),
        ],
    )
