"""Column names a user gave, checked against the columns there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.domain.errors import NoCommonColumns, UsageError
from tiltmeter.domain.feature import ColumnRoles, FeatureKind
from tiltmeter.profiling.missing_values import mean_the_same
from tiltmeter.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from tiltmeter.domain.profile import Bins
    from tiltmeter.ports import Rows


def roles_of(
    *,
    features: Sequence[str] | None = None,
    ignore: Iterable[str] = (),
    kinds: Mapping[str, str | FeatureKind] | None = None,
    missing_values: Mapping[str, Sequence[object]] | None = None,
    score: str | None = None,
    label: str | None = None,
    entity: str | None = None,
    time: str | None = None,
) -> ColumnRoles:
    """Column roles from what a user gave.

    Raises:
        UsageError: a kind does not exist.
    """
    return ColumnRoles(
        features=None if features is None else tuple(features),
        ignore=(ignore,) if isinstance(ignore, str) else tuple(ignore),
        kinds={name: kind_of(name, word) for name, word in (kinds or {}).items()},
        missing_values={name: tuple(values) for name, values in (missing_values or {}).items()},
        score=score,
        label=label,
        entity=entity,
        time=time,
    )


def kind_of(name: str, word: str) -> FeatureKind:
    """The kind of that word.

    Raises:
        UsageError: there is none.
    """
    known = [kind.value for kind in FeatureKind]
    if word not in known:
        raise UsageError(f'there is no kind "{word}" (for the column "{name}")', hint=did_you_mean(word, known))
    return FeatureKind(word)


def checked_names(
    roles: ColumnRoles,
    *,
    reference: Collection[str],
    current: Collection[str],
    twins: Collection[str] = (),
    weights: Mapping[str, float] | None = None,
) -> None:
    """See that every named column exists.

    Args:
        roles: as the user gave them.
        reference: columns of the reference.
        current: columns of the current side.
        twins: names that occur more than once and are left out.
        weights: by feature.

    Raises:
        UsageError: a name does not exist, or occurs twice where one column is needed.
    """
    for option, name in (("score", roles.score), ("label", roles.label), ("entity", roles.entity)):
        if name is not None and name in twins:
            raise UsageError(f'the {option} column "{name}" occurs more than once', hint="give the columns other names")
        if name is not None:
            _known(name, option, reference)
    for name in roles.features or ():
        if name not in twins:
            _known(name, "feature", reference)
    either = {*reference, *current, *twins}
    for name in roles.ignore:
        _known(name, "ignored", either)
    for name in (*roles.kinds, *roles.missing_values):
        _known(name, "named", either)
    checked_weights(weights or {}, either)


def checked_weights(weights: Mapping[str, float], names: Collection[str]) -> None:
    """See that every weight is one, of a column there is.

    Args:
        weights: by feature.
        names: of the columns.

    Raises:
        UsageError: a column does not exist, or a weight is no number from 0 up.
    """
    for name, weight in weights.items():
        _known(name, "weighted", names)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise UsageError(f'the weight of "{name}" is {weight!r}', hint="a weight is a number from 0 up")


def checked_against_frozen(roles: ColumnRoles, bins: Bins, current: Collection[str]) -> None:
    """See that what a user says of columns is what a saved baseline was frozen with: it cannot be changed any more.

    Args:
        roles: as the user gave them.
        bins: of the baseline.
        current: columns of the side that is held against it.

    Raises:
        UsageError: they differ, or a name does not exist.
    """
    either = {*bins.features, *bins.others, bins.label, bins.entity, *current} - {""}
    for option, name, frozen in (
        ("score", roles.score, bins.score), ("label", roles.label, bins.label), ("entity", roles.entity, bins.entity)
    ):  # fmt: skip
        if name is not None and name != frozen:
            _known(name, option, either)
            raise _frozen(f'the {option} "{frozen}"' if frozen else f"no {option}", f'--{option} says "{name}"')
    judged = [name for name in bins.features if name != bins.score]
    for name in (*(roles.features or ()), *roles.ignore, *roles.kinds, *roles.missing_values):
        _known(name, "named", either)
    if roles.features is not None and set(roles.features) - {bins.score} != set(judged):
        raise _frozen(f"the features {_listed(judged)}", f"--features says {_listed(roles.features)}")
    for name in roles.ignore:
        if name in judged:
            raise _frozen(f'the feature "{name}"', "--ignore names it")
    for name in bins.features:
        one = bins.features[name]
        if roles.kinds.get(name, one.kind) is not one.kind:
            raise _frozen(f'"{name}" as {one.kind.value}', f"--kind says {roles.kinds[name].value}")
        stated = roles.missing_values.get(name)
        if stated is not None and not mean_the_same(stated, one.missing_values, one.kind):
            raise _frozen(f'other missing values of "{name}"', f"--missing says {_listed(list(map(str, stated)))}")


def _frozen(frozen: str, said: str) -> UsageError:
    return UsageError(
        f"the saved baseline was made with {frozen} and {said}",
        hint="leave the option away, or make the baseline anew with it",
    )


def _known(name: str, option: str, names: Collection[str]) -> None:
    if name not in names:
        raise UsageError(f'there is no {option} column "{name}"', hint=did_you_mean(name, sorted(names)))


def checked_twins(bins: Bins, twins: Collection[str]) -> None:
    """See that no column occurs twice where one is needed.

    Args:
        bins: of a baseline.
        twins: names that occur more than once on the side that is held against it.

    Raises:
        UsageError: the score, label or entity column does.
    """
    for option, name in (("score", bins.score), ("label", bins.label), ("entity", bins.entity)):
        if name and name in twins:
            raise UsageError(f'the {option} column "{name}" occurs more than once', hint="give the columns other names")


def share_columns(bins: Bins, rows: Rows) -> None:
    """See that there is something to compare.

    Raises:
        NoCommonColumns: the rows have none of the baseline's features.
    """
    names = set(rows.schema.names)
    features = [name for name in bins.features if not name or name != bins.score]
    if features and not names.intersection(bins.features):
        raise NoCommonColumns(
            f"the reference has {_listed(features)} and this side has {_listed(sorted(names))}",
            at=rows.name,
            hint="the two sides have no column in common",
        )
    if not bins.features:
        raise NoCommonColumns("the reference has no column to compare", hint="take some of the ignored ones back")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5]) or "no columns"
    return f"{shown}, …" if len(names) > 5 else shown
