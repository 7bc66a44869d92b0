"""What a comparison gives back: numbers by feature, the summary, and its views."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltmeter.api.as_json import comparison_json
from tiltmeter.api.collecting import without_collection
from tiltmeter.api.files import write_text
from tiltmeter.api.summary import sentence
from tiltmeter.domain.errors import UsageError
from tiltmeter.domain.severity import Severity
from tiltmeter.registry import Registry, did_you_mean

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from tiltmeter.domain.baseline import Reference
    from tiltmeter.domain.comparison import Comparison, FeatureComparison, Overall
    from tiltmeter.domain.profile import Profile
    from tiltmeter.domain.rule import Rule
    from tiltmeter.domain.score_shift import ScoreShift

REPORTS = Registry(
    "report",
    {
        "comparison": "tiltmeter.views.report.comparison:comparison_page",
        "notebook": "tiltmeter.views.report.comparison:notebook_view",
        "backtest_notebook": "tiltmeter.views.report.backtest:notebook_view",
        "backtest": "tiltmeter.views.report.backtest:backtest_page",
        "period": "tiltmeter.views.report.period:period_page",
    },
    "tiltmeter.reports",
)
"""Pages by what they show. Loaded by name: pages know results, results know no page."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """Two data sets compared. `result["company_size"].psi` is a number of one feature.

    Args:
        comparison: every number, severities filled in.
        reference: the frozen bins and the reference rows in them.
        current: the current rows in the same bins.
        current_name: what people call the current side.
        rules: the rules that gave the severities.
        notes: what was found out about the data or left out, a line each.
    """

    comparison: Comparison
    reference: Reference
    current: Profile
    current_name: str = "current"
    rules: tuple[Rule, ...] = ()
    notes: tuple[str, ...] = ()

    def __getitem__(self, feature: str) -> FeatureComparison:
        """Everything measured about one feature, or about the score by its column's name.

        Raises:
            UsageError: there is no such feature.
        """
        score = self.comparison.score
        if score is not None and feature == score.name and feature not in self.comparison.features:
            return score
        if feature not in self.comparison.features:
            raise UsageError(
                f'there is no feature "{feature}"', hint=did_you_mean(feature, list(self.comparison.features))
            )
        return self.comparison.features[feature]

    def __iter__(self) -> Iterator[str]:
        """Names of the features."""
        return iter(self.comparison.features)

    def __contains__(self, feature: object) -> bool:
        """Whether there is such a feature."""
        return feature in self.comparison.features

    def __len__(self) -> int:
        """Number of features."""
        return len(self.comparison.features)

    def __repr__(self) -> str:
        """The answer in one sentence."""
        return f"<tiltmeter comparison: {sentence(self.comparison)}>"

    @property
    def features(self) -> dict[str, FeatureComparison]:
        """All features by name."""
        return dict(self.comparison.features)

    @property
    def overall(self) -> Overall:
        """The comparison in six numbers."""
        return self.comparison.overall

    @property
    def score(self) -> FeatureComparison | None:
        """The score's own comparison, None without a score."""
        return self.comparison.score

    @property
    def score_shift(self) -> ScoreShift | None:
        """The change of the mean score and what it came from, None without a score."""
        return self.comparison.score_shift

    @property
    def drifted(self) -> list[str]:
        """Names of the features at warning or above, worst first."""
        return self.comparison.drifted

    @property
    def worst(self) -> Severity:
        """The worst severity of the features, the score and the whole."""
        severities = (feature.severity for feature in self.comparison.features.values())
        return max(self.overall.severity, max(severities, default=Severity.NONE))

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        return sentence(self.comparison)

    def to_dict(self) -> dict[str, Any]:
        """The document of `compare --json`."""
        with without_collection(len(self)):
            return comparison_json(self.comparison)

    def to_frame(self, *, pandas: bool = False) -> Any:  # noqa: ANN401 - an Arrow table or a pandas data frame
        """A row a feature.

        Args:
            pandas: a pandas data frame instead of an Arrow table.
        """
        from tiltmeter.api.frames import comparison_table

        table = comparison_table(self.comparison)
        return table.to_pandas() if pandas else table

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """One self-contained page without scripts.

        Args:
            path: where to write it; nowhere by default.

        Returns:
            The page's text.

        Raises:
            StoreError: the file cannot be written.
        """
        text: str = REPORTS.load("comparison")(self)
        if path is not None:
            write_text(Path(path), text)
        return text

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        shown: str = REPORTS.load("notebook")(self)
        return shown
