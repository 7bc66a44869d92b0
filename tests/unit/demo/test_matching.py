from datetime import UTC, datetime, timedelta

from tiltmeter.demo.incidents import Incident
from tiltmeter.demo.matching import Raised, match, summarise
from tiltmeter.domain.severity import Severity

START = datetime(2026, 10, 5, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def _incident(name="unit-change", subject="company_size", *, required=True, start=START):
    return Incident(
        name, "feature", subject, start, start + DAY, Severity.CRITICAL, (subject, "score"), required=required
    )


def _raised(since, *, subject="company_size", window=DAY, severity=Severity.CRITICAL):
    return Raised("alr_1", "inc_1", "feature_psi", severity, subject, since, None, window)


def test_an_alert_at_the_end_of_the_first_window_has_a_delay_of_one():
    (found,) = match([_raised(START + timedelta(hours=15))], [_incident()])
    assert (found.planted, found.delay_windows) == ("unit-change", 1)


def test_two_windows_match_and_a_minute_more_does_not():
    (found,) = match([_raised(START + 2 * DAY)], [_incident()])
    assert (found.planted, found.delay_windows) == ("unit-change", 2)
    (late,) = match([_raised(START + 2 * DAY + timedelta(minutes=1))], [_incident()])
    assert (late.planted, late.delay_windows) == (None, None)


def test_an_alert_before_its_incident_is_unexplained():
    (found,) = match([_raised(START - timedelta(minutes=1))], [_incident()])
    assert found.planted is None


def test_an_alert_on_a_subject_that_nothing_moves_is_unexplained():
    matched = match([_raised(START + DAY, subject="industry")], [_incident()])
    assert summarise(matched, [_incident()]).unexplained == 1


def test_a_score_alert_belongs_to_the_feature_that_moved_the_score():
    (found,) = match([_raised(START + DAY, subject="score")], [_incident()])
    assert found.planted == "unit-change"


def test_info_alerts_neither_match_nor_count_as_unexplained():
    quiet = match([_raised(START + DAY, severity=Severity.INFO), _raised(START - DAY, severity=Severity.INFO)], [])
    summary = summarise(quiet, [_incident()])
    assert (summary.matched, summary.missed, summary.unexplained) == (0, ("unit-change",), 0)


def test_incidents_that_are_not_required_stay_outside_of_the_summary():
    optional = _incident("conversion-fall", "conversion", required=False)
    summary = summarise(match([_raised(START + DAY)], [_incident(), optional]), [_incident(), optional])
    assert (summary.planted, summary.matched, summary.missed) == (1, 1, ())
