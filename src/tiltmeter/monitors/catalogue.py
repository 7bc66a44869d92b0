"""The metric catalogue: every name that rules, metrics, API, pages, Grafana and docs share, declared once."""

from __future__ import annotations

from tiltmeter.domain.metric import MetricDeclaration as Declared
from tiltmeter.domain.metric import Unit

# fmt: off
# A table reads better one declaration a line.
_DRIFT = (
    Declared("drift.psi", "PSI", Unit.NONE, "How far the distribution moved away from the baseline; 0.25 is half a standard deviation.", "drift", "feature_psi", per_feature=True),
    Declared("drift.kl", "KL divergence", Unit.NATS, "Information lost when the baseline stands in for the current data.", "drift", "feature_kl_nats", per_feature=True),
    Declared("drift.js_distance", "Jensen-Shannon distance", Unit.NONE, "Distance between the two distributions, 0 for equal and 1 for disjoint.", "drift", "feature_js_distance", per_feature=True),
    Declared("drift.ks", "KS statistic", Unit.SHARE, "Largest gap between the two cumulative distributions.", "drift", "feature_ks_statistic", per_feature=True),
    Declared("drift.chi2", "Chi-square", Unit.NONE, "Pearson's statistic of the table of levels by side.", "drift", "feature_chi2", per_feature=True),
    Declared("drift.wasserstein", "Wasserstein distance", Unit.FEATURE, "How far values moved on average, in the feature's own unit.", "drift", "feature_wasserstein", per_feature=True),
    Declared("drift.test_q_value", "Test q-value", Unit.NONE, "Chance that a KS or chi-square finding is noise, corrected for the number of features.", "drift", "feature_test_q_value", per_feature=True, low_is_bad=True),
    Declared("drift.minimum_detectable", "Smallest visible PSI", Unit.NONE, "The least PSI that a window of this size can tell from no drift.", "drift", "feature_minimum_detectable_psi", per_feature=True),
    Declared("drift.score_psi", "Score PSI", Unit.NONE, "PSI of the model's score.", "drift", "model_score_psi"),
    Declared("drift.weighted_psi", "Weighted PSI", Unit.NONE, "Mean PSI of the features, each capped at 1, by importance.", "drift", "model_weighted_psi"),
    Declared("drift.overall_psi", "Overall PSI", Unit.NONE, "PSI of the score, or the weighted PSI where there is no score.", "drift", "model_psi"),
    Declared("drift.features_drifted", "Drifted features", Unit.COUNT, "Features at warning or above.", "drift", "model_features_drifting"),
)
_FEATURES = (
    Declared("features.mean", "Mean", Unit.FEATURE, "Average of the non-missing values.", "features", "feature_mean", per_feature=True),
    Declared("features.std", "Standard deviation", Unit.FEATURE, "Spread of the non-missing values.", "features", "feature_stddev", per_feature=True),
    Declared("features.min", "Minimum", Unit.FEATURE, "Smallest value.", "features", "feature_min", per_feature=True),
    Declared("features.max", "Maximum", Unit.FEATURE, "Largest value.", "features", "feature_max", per_feature=True),
    Declared("features.missing_share", "Missing", Unit.SHARE, "Share of rows without a value.", "features", "feature_missing_ratio", per_feature=True),
    Declared("features.missing_change", "Change of missing", Unit.SHARE, "Share of rows without a value, minus the baseline's.", "features", "feature_missing_change", per_feature=True),
    Declared("features.mean_step", "Step of the mean", Unit.NONE, "Change of the mean since the window before, in standard deviations of the baseline.", "features", "feature_mean_step", per_feature=True),
    Declared("features.missing_step", "Step of missing", Unit.SHARE, "Share of rows without a value, minus that of the window before.", "features", "feature_missing_step", per_feature=True),
    Declared("features.distinct", "Distinct values", Unit.COUNT, "Number of different values.", "features", "feature_distinct_values", per_feature=True),
    Declared("features.new_level_share", "Rows in new levels", Unit.SHARE, "Share of rows in levels that the baseline never saw.", "features", "feature_new_level_ratio", per_feature=True),
    Declared("features.new_level_excess", "Unexpected new levels", Unit.SHARE, "Share of rows in new levels beyond what chance explains.", "features", "feature_new_level_excess", per_feature=True),
    Declared("features.out_of_range_share", "Out of range", Unit.SHARE, "Share of values outside the baseline's least and greatest.", "features", "feature_out_of_range_ratio", per_feature=True),
    Declared("features.outlier_share_iqr", "Outliers (IQR)", Unit.SHARE, "Share of values beyond 1.5 interquartile ranges of the baseline's quartiles.", "features", "feature_outlier_ratio", per_feature=True),
    Declared("features.outlier_share_z", "Outliers (z)", Unit.SHARE, "Share of values more than three baseline standard deviations from its mean.", "features", "feature_outlier_z_ratio", per_feature=True),
    Declared("features.zero_share", "Zeros", Unit.SHARE, "Share of values equal to 0.", "features", "feature_zero_ratio", per_feature=True),
    *(
        Declared(f"features.q{q:02d}", "Median" if q == 50 else f"{q} % quantile", Unit.FEATURE, f"{q} % of the values are at or below it.", "features", f"feature_q{q:02d}", per_feature=True)
        for q in (1, 5, 25, 50, 75, 95, 99)
    ),
    Declared("features.schema_changes", "Schema changes", Unit.COUNT, "Features that are gone or changed their type, the score among them.", "features", "model_schema_changes"),
    Declared("features.new_columns", "New columns", Unit.COUNT, "Columns that the baseline does not know.", "features", "model_new_columns"),
    Declared("features.freshness", "Age of newest row", Unit.SECONDS, "Time since the newest prediction.", "features", "model_newest_row_age_seconds"),
    Declared("features.rows", "Rows", Unit.COUNT, "Predictions in the window.", "features", "model_rows"),
)
_SERVING = (
    Declared("serving.latency_ms.p50", "P50 latency", Unit.MILLISECONDS, "Half of the requests were answered within it.", "traffic", "serving_latency_p50_seconds"),
    Declared("serving.latency_ms.p95", "P95 latency", Unit.MILLISECONDS, "95 of 100 requests were answered within it.", "traffic", "serving_latency_p95_seconds"),
    Declared("serving.latency_ms.p99", "P99 latency", Unit.MILLISECONDS, "99 of 100 requests were answered within it.", "traffic", "serving_latency_p99_seconds"),
    Declared("serving.share_within_target", "Within target", Unit.SHARE, "Share of requests answered within the latency target.", "traffic", "serving_share_within_target", low_is_bad=True),
    Declared("serving.requests_per_second", "Throughput", Unit.PER_SECOND, "Requests per second.", "traffic", "serving_requests_per_second"),
    Declared("serving.capacity_rps", "Capacity", Unit.PER_SECOND, "Highest one-minute rate of the last 30 days at which P95 stayed under target.", "traffic", "serving_capacity_requests_per_second"),
    Declared("serving.share_of_capacity", "Share of capacity", Unit.SHARE, "Current rate as a share of the capacity seen so far.", "traffic", "serving_share_of_capacity"),
    Declared("serving.share_of_usual_traffic", "Share of usual traffic", Unit.SHARE, "Requests now against the same hours of the last four weeks.", "traffic", "serving_share_of_usual_traffic", low_is_bad=True),
    Declared("serving.error_rate", "Error rate", Unit.SHARE, "Share of requests that failed with 5xx or an unhandled exception.", "traffic", "serving_error_ratio"),
    Declared("serving.client_error_rate", "Client errors", Unit.SHARE, "Share of requests answered with 4xx.", "traffic", "serving_client_error_ratio"),
    Declared("serving.error_answers", "Error answers", Unit.COUNT, "Requests of a route that were answered with 4xx or 5xx; its details count them by status and exception.", "traffic"),
    Declared("serving.requests", "Requests", Unit.COUNT, "Requests in the span.", "traffic", "serving_requests"),
)
_OUTCOMES = (
    Declared("outcomes.conversion_rate", "Conversion rate", Unit.SHARE, "Share of leads that became customers.", "outcomes", "model_conversion_ratio", low_is_bad=True),
    Declared("outcomes.observed_to_expected", "Observed to expected", Unit.NONE, "Conversions so far against those expected by now.", "outcomes", "model_observed_to_expected", low_is_bad=True),
    Declared("outcomes.observed_to_expected_lower", "Observed to expected, lower", Unit.NONE, "Lower end of its interval.", "outcomes", low_is_bad=True),
    Declared("outcomes.observed_to_expected_upper", "Observed to expected, upper", Unit.NONE, "Upper end of its interval.", "outcomes"),
    Declared("outcomes.observed_to_expected_z", "Observed to expected, z", Unit.NONE, "How surprising the gap is, in standard errors.", "outcomes", "model_observed_to_expected_z", low_is_bad=True),
    Declared("outcomes.precision", "Precision", Unit.SHARE, "Of the leads predicted to become customers, the share that did.", "outcomes", "model_precision_ratio", low_is_bad=True),
    Declared("outcomes.recall", "Recall", Unit.SHARE, "Of the customers, the share that was predicted.", "outcomes", "model_recall_ratio", low_is_bad=True),
    Declared("outcomes.f1", "F1", Unit.SHARE, "Harmonic mean of precision and recall.", "outcomes", "model_f1", low_is_bad=True),
    Declared("outcomes.auc", "AUC", Unit.SHARE, "Chance that a customer scored higher than a lead that did not buy.", "outcomes", "model_auc", low_is_bad=True),
    Declared("outcomes.brier", "Brier score", Unit.NONE, "Mean squared error of the predicted probabilities.", "outcomes", "model_brier"),
    Declared("outcomes.calibration", "Calibration", Unit.NONE, "Conversions against the sum of the scores on mature cohorts; 1 is perfect.", "outcomes", "model_calibration"),
    Declared("outcomes.top_decile_lift", "Lift of the best tenth", Unit.NONE, "How many times as often the tenth of leads with the highest scores converts as all leads; its details hold every tenth.", "outcomes", "model_top_decile_lift", low_is_bad=True),
    Declared("outcomes.precision_at_k", "Precision at k", Unit.SHARE, "Of the tenth of leads with the highest scores, the share that became customers; equal scores stay together.", "outcomes", "model_precision_at_k_ratio", low_is_bad=True),
    Declared("outcomes.recall_at_k", "Recall at k", Unit.SHARE, "Of the customers, the share that stood in the tenth of leads with the highest scores.", "outcomes", "model_recall_at_k_ratio", low_is_bad=True),
    Declared("outcomes.revenue_per_lead", "Revenue per lead", Unit.MONEY, "Mean revenue of all leads of mature cohorts.", "outcomes", "model_revenue_per_lead", low_is_bad=True),
    Declared("outcomes.revenue_per_lead.median", "Median revenue", Unit.MONEY, "Median revenue of the leads that brought any.", "outcomes"),
    Declared("outcomes.revenue_per_lead.trimmed", "Trimmed revenue per lead", Unit.MONEY, "Mean revenue per lead without the largest and smallest 1 %.", "outcomes"),
    Declared("outcomes.maturity", "Maturity", Unit.SHARE, "Share of the eventual conversions that could be known by now.", "outcomes", "model_outcome_maturity"),
)
_BATCH = (
    Declared("batch.overdue", "Overdue", Unit.SECONDS, "Time past the expected start and grace; 0 when on time.", "jobs", "job_overdue_seconds"),
    Declared("batch.failed", "Failed runs", Unit.COUNT, "Failed runs in the window.", "jobs", "job_failed_runs"),
    Declared("batch.duration_ratio", "Duration ratio", Unit.NONE, "Duration of the last run against the median of the last ten good ones.", "jobs", "job_duration_ratio"),
    Declared("batch.records_ratio", "Records ratio", Unit.NONE, "Records of the last run against the median of the last ten good ones.", "jobs", "job_records_ratio", low_is_bad=True),
)
_MONITOR = (
    Declared("monitor.window_lag", "Window lag", Unit.SECONDS, "Age of the oldest due window that is not judged.", "self", "monitor_window_lag_seconds"),
    Declared("monitor.spool_age", "Spool age", Unit.SECONDS, "Age of the oldest record that is not in the table.", "self", "monitor_spool_age_seconds"),
    Declared("monitor.outbox_age", "Outbox age", Unit.SECONDS, "Age of the oldest message that is not sent.", "self", "monitor_outbox_age_seconds"),
    Declared("monitor.dropped_records", "Dropped records", Unit.COUNT, "Records that the spool refused.", "self", "monitor_dropped_records"),
)
# fmt: on

CATALOGUE: dict[str, Declared] = {
    declared.name: declared
    for group in (_DRIFT, _FEATURES, _SERVING, _OUTCOMES, _BATCH, _MONITOR)
    for declared in group
}
"""Declaration by metric name."""
