"""The three boards: the API, the host it runs on, the model and its monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.views.grafana.from_catalogue import metric_panel, series_of, thresholds_of
from tiltmeter.views.grafana.host_board import host_board
from tiltmeter.views.grafana.panels import (
    CRITICAL,
    WATCH,
    Board,
    Display,
    Panel,
    PanelUnit,
    Query,
    Row,
    Threshold,
    Variable,
)

if TYPE_CHECKING:
    from tiltmeter.domain.rule import RuleSet

_REQUESTS = 'tiltmeter_http_requests_total{model=~"$model",model_version=~"$version",route=~"$route"'
_DURATION = 'tiltmeter_http_request_duration_seconds_{part}{{model=~"$model",model_version=~"$version",route=~"$route"'
_MODEL = Variable("model", "Model", "label_values(tiltmeter_evaluation_timestamp_seconds, model)")
_SERVED_MODEL = Variable("model", "Model", "label_values(tiltmeter_http_requests_total, model)")
_VERSION = Variable("version", "Version", 'label_values(tiltmeter_http_requests_total{model=~"$model"}, model_version)')
# "All" is the series of all versions together, which has an empty version, not each version beside it.
_JUDGED_VERSION = Variable("version", "Version", "label_values(tiltmeter_model_rows, model_version)", everything="^$")
_ROUTE = Variable("route", "Route", 'label_values(tiltmeter_http_requests_total{model=~"$model"}, route)')


def all_boards(rules: RuleSet) -> tuple[Board, ...]:
    """Every board, thresholds as in the rules."""
    return api_board(rules), host_board(), model_board(rules)


def _rate(selector: str, more: str = "") -> str:
    return f"rate({selector}{more}}}[$__rate_interval])"


def _duration(part: str) -> str:
    return _DURATION.format(part=part)


def _percentile(share: float) -> str:
    # Without requests a quantile is not a number: the guard leaves nothing instead, which is shown as "no traffic".
    return (
        f"histogram_quantile({share:g}, sum by (le) ({_rate(_duration('bucket'))})) "
        f"and on() (sum({_rate(_duration('count'))}) > 0)"
    )


def _share(part: str, whole: str, by: str) -> str:
    # A class of answers that never came has no series: it counts as 0 wherever there are requests at all.
    return f"(sum by ({by}) ({part}) or 0 * sum by ({by}) ({whole})) / (sum by ({by}) ({whole}) > 0)"


def api_board(rules: RuleSet) -> Board:
    """Rate, errors, duration of the scoring API, as its users meet them."""
    latency = thresholds_of("serving.latency_ms.p95", rules)
    errors = thresholds_of("serving.error_rate", rules)
    return Board(
        "tiltmeter-api",
        "Tiltmeter / API",
        "Are requests answered, fast enough and without errors?",
        (
            Row("Now", _api_numbers(latency, errors)),
            Row("Latency", _api_latency(latency)),
            Row("Traffic and errors", _api_traffic(errors)),
            Row("Capacity", _api_capacity(rules)),
        ),
        (_SERVED_MODEL, _VERSION, _ROUTE),
    )


def _api_numbers(latency: tuple[Threshold, ...], errors: tuple[Threshold, ...]) -> tuple[Panel, ...]:
    failed = _rate(_REQUESTS, ',code_class="5xx"')
    within = _share(_rate(_duration("bucket"), ',le="0.2"'), _rate(_duration("count")), "model")
    return (
        _number(
            "P95 latency", "95 of 100 requests were answered within it. Target: 200 ms.",
            Query(_percentile(0.95), "P95"), PanelUnit.SECONDS, latency,
        ),
        _number("Throughput", "Requests per second.", Query(f"sum({_rate(_REQUESTS)})", "all"), PanelUnit.PER_SECOND),
        _number(
            "Error rate", "Share of requests that failed with 5xx or an unhandled exception.",
            Query(_share(failed, _rate(_REQUESTS), "model"), "{{model}}"), PanelUnit.SHARE, errors,
        ),
        _number(
            "Within 200 ms", "Share of requests answered within 200 ms: a count, because 0.2 s is a bucket's edge.",
            Query(within, "{{model}}"), PanelUnit.SHARE,
        ),
    )  # fmt: skip


def _number(title: str, meaning: str, query: Query, unit: PanelUnit, thresholds: tuple[Threshold, ...] = ()) -> Panel:
    return Panel(title, meaning, (query,), unit, width=6, height=5, display=Display.NUMBER, thresholds=thresholds)


def _api_latency(latency: tuple[Threshold, ...]) -> tuple[Panel, ...]:
    percentiles = tuple(Query(_percentile(share), f"P{share * 100:g}") for share in (0.50, 0.95, 0.99))
    by_version = (
        f"histogram_quantile(0.95, sum by (le, model_version) ({_rate(_duration('bucket'))})) "
        f"and on(model_version) (sum by (model_version) ({_rate(_duration('count'))}) > 0)"
    )
    return (
        Panel(
            "Latency percentiles",
            "P50, P95 and P99 over all chosen routes; dashed lines are the limits of the alert rules.",
            percentiles, PanelUnit.SECONDS, thresholds=latency,
        ),
        Panel(
            "P95 by version", "Whether a deploy made answers slower.",
            (Query(by_version, "version {{model_version}}"),), PanelUnit.SECONDS, thresholds=latency,
        ),
        Panel(
            "Latency heatmap", "Requests by duration; a second band shows what a percentile hides.",
            (Query(f"sum by (le) (increase({_duration('bucket')}}}[$__rate_interval]))", "{{le}}"),),
            PanelUnit.COUNT, width=24, display=Display.HEATMAP,
        ),
    )  # fmt: skip


def _api_traffic(errors: tuple[Threshold, ...]) -> tuple[Panel, ...]:
    failed = _rate(_REQUESTS, ',code_class="5xx"')
    refused = _rate(_REQUESTS, ',code_class="4xx"')
    return (
        Panel(
            "Requests by class of answer", "2xx served, 4xx refused, 5xx failed.",
            (Query(f"sum by (code_class) ({_rate(_REQUESTS)})", "{{code_class}}"),), PanelUnit.PER_SECOND,
        ),
        Panel(
            "Requests by version", "Which model version answers.",
            (Query(f"sum by (model_version) ({_rate(_REQUESTS)})", "version {{model_version}}"),),
            PanelUnit.PER_SECOND,
        ),
        Panel(
            "Error rate by route", "5xx and unhandled exceptions; the dashed line is the limit of the alert rule.",
            (Query(_share(failed, _rate(_REQUESTS), "route"), "{{route}}"),), PanelUnit.SHARE, thresholds=errors,
        ),
        Panel(
            "Refused by route", "4xx: what callers did wrong.",
            (Query(_share(refused, _rate(_REQUESTS), "route"), "{{route}}"),), PanelUnit.SHARE,
        ),
    )  # fmt: skip


def _api_capacity(rules: RuleSet) -> tuple[Panel, ...]:
    lines = Display.LINES
    now, best = f"sum by (model) ({_rate(_REQUESTS)})", series_of("serving.capacity_rps", window="live")
    within = series_of("serving.share_within_target", window="live")
    # Live numbers of a version exist where several served; one that serves alone has those of the whole.
    of_all = within.replace('model_version=~"$version"', 'model_version=""')
    of_each = within.replace('model_version=~"$version"', 'model_version!=""')
    alone = f"({of_all} unless on (model) {of_each}) and on (model) ({now} > 0)"
    return (
        Panel(
            "Rate beside capacity",
            "Requests per second of the chosen version, and the highest one-minute rate of the last 30 days at which "
            "P95 stayed under target. It is a limit only once a busier minute missed the target.",
            (Query(now, "now"), Query(f"max by (model) ({best})", "capacity seen")),
            PanelUnit.PER_SECOND, width=8,
        ),
        Panel(
            "Requests in flight",
            "Requests that the workers of a host handle at this moment, background tasks included. It climbs where "
            "answers hang, before any latency is measured.",
            (Query("sum by (instance) (tiltmeter_http_requests_in_flight)", "{{instance}}"),), PanelUnit.COUNT, width=8,
            empty="no API host is scraped",
        ),
        metric_panel(
            "serving.share_within_target", rules, window="live", display=lines, empty="no traffic", width=8,
            expression=f"{within} or on (model) ({alone})".replace("{", "{{").replace("}", "}}"),
        ),
    )  # fmt: skip


def model_board(rules: RuleSet) -> Board:
    """Drift, quality and outcomes of the models, and whether the monitor itself is well."""
    return Board(
        "tiltmeter-model",
        "Tiltmeter / Model and monitor",
        "Has the model or its data moved, and is the monitoring itself alive?",
        (
            Row("Now", _model_numbers(rules)),
            Row("Drift", _model_drift(rules)),
            Row("Data quality and score", _model_quality(rules)),
            Row("Predictions as they come", _model_predictions()),
            Row("Outcomes", _model_outcomes(rules)),
            Row("Batch jobs", _model_jobs(rules)),
            Row("The monitor itself", _monitor(rules)),
        ),
        (_MODEL, _JUDGED_VERSION),
        span="now-7d",
    )


def _model_numbers(rules: RuleSet) -> tuple[Panel, ...]:
    number = Display.NUMBER
    age = 'time() - max by (model) (tiltmeter_evaluation_timestamp_seconds{model=~"$model",window="hour"})'
    return (
        Panel(
            "Open incidents", "By severity; nothing is wrong while all are 0.",
            (Query("tiltmeter_alerts_open", "{{severity}}"),), PanelUnit.COUNT, width=6, height=5, display=number,
            thresholds=(Threshold(1, WATCH),), empty="Tiltmeter is not scraped",
        ),
        metric_panel("drift.overall_psi", rules, window="day", display=number, width=6, height=5),
        metric_panel("drift.features_drifted", rules, window="day", display=number, width=6, height=5),
        Panel(
            "Age of the newest judgement", "Time since the end of the newest judged hour: a frozen number is none.",
            (Query(age, "{{model}}"),), PanelUnit.SECONDS, width=6, height=5, display=number,
            thresholds=(Threshold(2 * 3600, WATCH), Threshold(6 * 3600, CRITICAL)), empty="not judged yet",
        ),
    )  # fmt: skip


def _model_drift(rules: RuleSet) -> tuple[Panel, ...]:
    top = "topk(10, {series})"
    by_feature = "{{feature}}"
    return (
        metric_panel(
            "drift.psi", rules, window="day", display=Display.BARS, expression=top, legend=by_feature,
            title="PSI, the ten that moved most",
        ),
        metric_panel(
            "drift.psi", rules, window="day", display=Display.LINES, legend=by_feature,
            expression="{series} and on(feature) topk(10, max by (feature) ({series}))", title="PSI over time",
        ),
        metric_panel("drift.overall_psi", rules, window="day", display=Display.LINES),
        metric_panel(
            "drift.ks", rules, window="day", display=Display.BARS, expression=top, legend=by_feature,
            title="KS statistic, the ten largest",
        ),
    )  # fmt: skip


def _model_quality(rules: RuleSet) -> tuple[Panel, ...]:
    top = "topk(10, {series})"
    quantiles = tuple(
        Query(series_of(f"features.q{q:02d}", window="hour", more=',feature="score"'), f"{q} %") for q in (5, 50, 95)
    )
    return (
        metric_panel(
            "features.missing_share", rules, window="hour", display=Display.BARS, expression=top, legend="{{feature}}",
            title="Missing values, the ten largest shares",
        ),
        Panel(
            "Score", "5 %, 50 % and 95 % of the scores of the hour are at or below it.",
            quantiles, PanelUnit.NONE, empty="no score",
        ),
        metric_panel("features.rows", rules, window="hour", display=Display.LINES, title="Predictions an hour"),
        metric_panel("features.freshness", rules, window="live", display=Display.LINES),
    )  # fmt: skip


def _model_predictions() -> tuple[Panel, ...]:
    of_model = '{model=~"$model"}[$__rate_interval]'
    return (
        Panel(
            "Predictions by outcome",
            "Scored; answered without a score; refused (4xx); failed (5xx). Batch jobs count when they are stored.",
            (Query(f"sum by (outcome) (rate(tiltmeter_predictions_total{of_model}))", "{{outcome}}"),),
            PanelUnit.PER_SECOND, empty="no prediction yet",
        ),
        Panel(
            "Scores", "Scored predictions by tenth of the score, as they come.",
            (Query(f"sum by (le) (increase(tiltmeter_prediction_score_bucket{of_model}))", "{{le}}"),),
            PanelUnit.COUNT, display=Display.HEATMAP, empty="no prediction yet",
        ),
    )  # fmt: skip


def _model_outcomes(rules: RuleSet) -> tuple[Panel, ...]:
    lines, empty = Display.LINES, "no outcome is known yet"
    return tuple(
        metric_panel(name, rules, window="day", display=lines, width=8, empty=empty)
        for name in (
            "outcomes.conversion_rate", "outcomes.precision", "outcomes.recall", "outcomes.revenue_per_lead",
            "outcomes.precision_at_k", "outcomes.recall_at_k",
        )
    )  # fmt: skip


def _model_jobs(rules: RuleSet) -> tuple[Panel, ...]:
    none = "no job has run yet"
    return (
        Panel(
            "Time since the last good run", "By job.",
            (Query("time() - tiltmeter_job_last_success_timestamp_seconds", "{{job_name}}"),),
            PanelUnit.SECONDS, width=6, empty=none,
        ),
        metric_panel(
            "batch.overdue", rules, window="live", display=Display.LINES, width=6, legend="{{job_name}}", empty=none
        ),
        Panel(
            "Duration", "Of the newest run, by job.", (Query("tiltmeter_job_duration_seconds", "{{job_name}}"),),
            PanelUnit.SECONDS, width=6, empty=none,
        ),
        Panel(
            "Records", "Of the newest run: read, scored, failed.",
            (Query("tiltmeter_job_records", "{{job_name}} {{result}}"),), PanelUnit.COUNT, width=6, empty=none,
        ),
        Panel(
            "Records in a day", "Over all runs that became known within it: read, written, rejected.",
            (Query("increase(tiltmeter_job_records_total[1d])", "{{job_name}} {{result}}"),), PanelUnit.COUNT,
            width=24, height=6, empty=none,
        ),
    )  # fmt: skip


def _monitor(rules: RuleSet) -> tuple[Panel, ...]:
    lines = Display.LINES
    return (
        metric_panel("monitor.window_lag", rules, window="live", display=lines, width=6),
        Panel(
            "Spool age", "Age of the oldest record that is not in the table yet.",
            (Query("tiltmeter_spool_age_seconds", "{{instance}}"),), PanelUnit.SECONDS, width=6,
            empty="no shipper is scraped",
        ),
        Panel(
            "Oldest unsent message", "By channel.",
            (Query("tiltmeter_outbox_oldest_seconds", "{{channel}}"),), PanelUnit.SECONDS, width=6,
            empty="no channel is configured",
        ),
        Panel(
            "Undelivered messages", "Messages that a channel refused for good.",
            (Query("tiltmeter_notifications_dead", "{{channel}}"),), PanelUnit.COUNT, width=6,
            thresholds=(Threshold(1, CRITICAL),), empty="no channel is configured",
        ),
        Panel(
            "Tries to send in an hour", "Sent, put off, given up, by channel.",
            (Query("increase(tiltmeter_notifications_total[1h])", "{{channel}} {{result}}"),),
            PanelUnit.COUNT, width=8, empty="no channel is configured",
        ),
        Panel(
            "Records that wait in the spool", "Sealed and not in the tables yet; it falls to 0 every few seconds.",
            (Query("tiltmeter_prediction_log_queue_length", "{{instance}}"),), PanelUnit.COUNT, width=8,
            empty="no shipper is scraped",
        ),
        Panel(
            "Age of the baseline", "Time since the baseline was frozen that judges the model.",
            (Query('time() - tiltmeter_baseline_timestamp_seconds{model=~"$model"}', "{{model}} {{model_version}}"),),
            PanelUnit.SECONDS, width=8, empty="the baseline is still learnt",
        ),
    )  # fmt: skip
