"""A history looked through in columns, so that only windows and features with something to say are described.

Nearly every number of a quiet year is fine, and a fine number changes nothing unless an alert about it is open. The
columns find the others; these go through the same comparison, rules and alerts as a live window.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from tiltmeter.alerting.rules import may_speak
from tiltmeter.api.judged_windows import JudgedWindow, WindowFeature
from tiltmeter.domain.comparison import Overall
from tiltmeter.domain.feature import NAMELESS
from tiltmeter.domain.metric import MetricSeries, Status
from tiltmeter.domain.rule import Absence
from tiltmeter.domain.severity import Severity
from tiltmeter.monitors.drift import STEPS, statistics_behind
from tiltmeter.monitors.drift_series import IN_SERIES, feature_series, window_series
from tiltmeter.statistics.comparison import compare, converted_share
from tiltmeter.statistics.series import ABSENT, as_listed, measured_series, quiet_numbers, weighted_psi_series
from tiltmeter.statistics.steps import with_steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from tiltmeter.domain.baseline import Reference
    from tiltmeter.domain.comparison import Comparison
    from tiltmeter.domain.profile import Profile
    from tiltmeter.domain.rule import Rule
    from tiltmeter.domain.window import Window
    from tiltmeter.statistics.features import FeatureNumbers
    from tiltmeter.statistics.series import FeatureSeries, Series
    from tiltmeter.statistics.tested import DescribedSides

CONVERSION = "outcomes.conversion_rate"

_AT_ONCE = 168
"""Windows looked through together: their bins of one feature fit the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a window has to say.

    Args:
        quiet: the window as it is kept where no rule speaks.
        comparison: described as far as rules may speak or alerts are open; None where there is nothing to judge.
        features: names of the features that are described; None for all.
    """

    quiet: JudgedWindow
    comparison: Comparison | None
    features: AbstractSet[str] | None


@dataclass(frozen=True, slots=True)
class Screens:
    """Looks through windows that are held against one reference.

    Args:
        reference: what every window is held against.
        rules: all that will judge.
        weights: importance of features in the weighted PSI.
    """

    reference: Reference
    rules: Sequence[Rule]
    weights: Mapping[str, float] | None
    known: DescribedSides = field(default_factory=dict)

    def over(self, history: Iterable[tuple[Window, Profile | None]]) -> Iterator[Screen]:
        """The history in stretches of windows, in order."""
        windows, previous = iter(history), None
        has_steps = any(rule.metric in STEPS for rule in self.rules)
        while some := list(islice(windows, _AT_ONCE)):
            before = [previous, *(profile for _, profile in some)] if has_steps else [None] * len(some)
            previous = some[-1][1]
            yield Screen.of(self, some, before[: len(some)])

    @property
    def is_complete(self) -> bool:
        """Whether columns tell all that the rules may ask; else every window is described in full."""
        return all(
            (rule.metric in IN_SERIES or rule.metric == CONVERSION)
            and Absence.ALERT not in (rule.no_data, rule.on_error)
            for rule in self.rules
        )


@dataclass(frozen=True, slots=True, eq=False)
class Screen:
    """A stretch of a history.

    Args:
        windows: in order.
        screens: what they are held against, and by which rules.
        profiles: of the windows; None where there are no rows.
        before: of the window before each, where rules ask for steps.
        places: of the windows with rows, in the series.
        series: what was measured of those with rows; None where columns do not tell all.
        loud: per place, features that a rule may speak of, "" for the whole.
        quiet: the windows as they are kept where no rule speaks.
    """

    windows: Sequence[Window]
    screens: Screens
    profiles: Sequence[Profile | None]
    before: Sequence[Profile | None]
    places: Mapping[int, int]
    series: Series | None
    loud: Sequence[AbstractSet[str]]
    quiet: Sequence[JudgedWindow]

    @classmethod
    def of(
        cls, screens: Screens, some: Sequence[tuple[Window, Profile | None]], before: Sequence[Profile | None]
    ) -> Screen:
        """Look through a stretch of windows, each with its profile and that of the window before."""
        windows, profiles = [window for window, _ in some], [profile for _, profile in some]
        held = [(place, one) for place, one in enumerate(profiles) if one is not None and one.rows]
        places = {place: number for number, (place, _) in enumerate(held)}
        quiet = [JudgedWindow.of(window, None) for window in windows]
        if not held or not screens.is_complete:
            return cls(windows, screens, profiles, before, places, None, (), quiet)
        statistics = {one.name for one in statistics_behind({rule.metric for rule in screens.rules})}
        chosen = [profile for _, profile in held]
        series = measured_series(screens.reference, chosen, statistics)
        weighted = weighted_psi_series(series, screens.weights or {}, screens.reference.bins.score)
        for (place, _), kept in zip(held, _kept(screens.reference.bins.score, series, weighted, chosen), strict=True):
            quiet[place] = JudgedWindow(windows[place], *kept)
        return cls(windows, screens, profiles, before, places, series, _loud(screens, series, weighted, chosen), quiet)

    def seen(self, place: int, standing: AbstractSet[str]) -> Seen:
        """What a window has to say.

        Args:
            place: of the window.
            standing: features of open alerts, "" for one about the whole.
        """
        profile, number = self.profiles[place], self.places.get(place)
        if profile is None or number is None:
            return Seen(self.quiet[place], None, None)
        if self.series is None:
            return Seen(self.quiet[place], self._compared(place, profile, None), None)
        loud = self.loud[number] | standing | ({""} if NAMELESS in standing else set())
        if not loud:
            return Seen(self.quiet[place], None, None)
        loud = loud | {self.screens.reference.bins.score}
        return Seen(self.quiet[place], self._compared(place, profile, quiet_numbers(self.series, number, loud)), loud)

    def _compared(self, place: int, profile: Profile, quiet: Mapping[str, FeatureNumbers] | None) -> Comparison:
        screens = self.screens
        comparison = compare(
            screens.reference, profile, weights=screens.weights, now=self.windows[place].end, known=screens.known,
            statistics=statistics_behind({rule.metric for rule in screens.rules}), quiet=quiet,
        )  # fmt: skip
        return with_steps(comparison, screens.reference.bins, self.before[place])


def _kept(
    score: str, series: Series, weighted: np.ndarray, profiles: Sequence[Profile]
) -> Iterator[tuple[int, Status, Mapping[str, WindowFeature], Overall, float | None]]:
    """Of each window: rows, status, features, the whole, conversion."""
    judged = [name for name in series.features if not score or name != score]
    features = zip(*(_window_features(series.features[name]) for name in judged), strict=True)
    scores = series.features[score].listed("psi") if score else [None] * len(profiles)
    wholes = as_listed(weighted)
    for profile, row, whole, of_score in zip(profiles, features, wholes, scores, strict=True):
        overall = Overall(whole, of_score, len(judged), 0, 0, Severity.NONE)
        few = any(one.status is Status.TOO_FEW_ROWS for one in row)
        status = Status.TOO_FEW_ROWS if few else Status.OK
        yield profile.rows, status, dict(zip(judged, row, strict=True)), overall, converted_share(profile)


def _window_features(feature: FeatureSeries) -> Iterator[WindowFeature]:
    shares = (missing / rows if rows else None for rows, missing in zip(feature.rows, feature.missing, strict=True))
    columns = feature.listed("psi"), feature.statuses, feature.listed("psi_q_value"), shares
    for psi, status, q_value, share in zip(*columns, strict=True):
        yield WindowFeature(psi, Severity.NONE, status, q_value, share)


def _loud(
    screens: Screens, series: Series, weighted: np.ndarray, profiles: Sequence[Profile]
) -> list[AbstractSet[str]]:
    """Per window, features that a rule may speak of; those that came, went or changed their type among them."""
    score = screens.reference.bins.score
    rows = np.array([profile.rows for profile in profiles])
    rates = np.array([rate if (rate := converted_share(one)) is not None else np.nan for one in profiles])
    found: list[set[str]] = [{""} if profile.new_columns else set() for profile in profiles]
    for name, feature in series.features.items():
        for place, status in enumerate(feature.statuses):
            if status in ABSENT:
                found[place].add(name)
    for rule in screens.rules:
        named = list(feature_series(series, rule.metric, score))
        if rule.metric == CONVERSION:
            named = [("", MetricSeries(rates, series.n, series.m))]
        elif not named:
            named = [("", window_series(series, rule.metric, score=score, weighted_psi=weighted, rows=rows))]
        spoken = may_speak(rule, [metric for _, metric in named])
        for (name, _), windows in zip(named, spoken, strict=True):
            for place in windows.nonzero()[0].tolist():
                found[place].add(name)
    return list(found)
