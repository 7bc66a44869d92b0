"""The first schema."""

from __future__ import annotations

STATEMENTS = (
    "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at BIGINT NOT NULL)",
    """CREATE TABLE runs (
        id {identity}, monitor TEXT NOT NULL, model TEXT NOT NULL, grain TEXT NOT NULL,
        window_start BIGINT NOT NULL, window_end BIGINT NOT NULL, source_version BIGINT,
        evaluated_at BIGINT NOT NULL, repeats INTEGER NOT NULL,
        UNIQUE (monitor, model, grain, window_start, window_end))""",
    "CREATE INDEX runs_by_age ON runs (grain, window_end)",
    """CREATE TABLE metric_series (
        id {identity}, grain TEXT NOT NULL, model_name TEXT NOT NULL, metric TEXT NOT NULL,
        model_version TEXT NOT NULL, segment_key TEXT NOT NULL, segment_value TEXT NOT NULL, feature TEXT NOT NULL,
        UNIQUE (model_name, metric, grain, feature, model_version, segment_key, segment_value))""",
    """CREATE TABLE metric_sources (
        id {identity}, baseline_id TEXT NOT NULL, bins_id TEXT NOT NULL, code_version TEXT NOT NULL,
        UNIQUE (baseline_id, bins_id, code_version))""",
    """CREATE TABLE metric_points (
        series_id BIGINT NOT NULL, window_end BIGINT NOT NULL, window_start BIGINT NOT NULL,
        run_id BIGINT NOT NULL, source_id BIGINT NOT NULL, source_version BIGINT, status TEXT NOT NULL,
        value DOUBLE PRECISION, lower DOUBLE PRECISION, upper DOUBLE PRECISION,
        p_value DOUBLE PRECISION, q_value DOUBLE PRECISION, n_reference BIGINT, n_current BIGINT,
        computed_at BIGINT, why_missing TEXT, details TEXT,
        PRIMARY KEY (series_id, window_end, window_start)) {clustered}""",
    "CREATE INDEX metric_points_by_run ON metric_points (run_id)",
    """CREATE TABLE alerts (
        fingerprint TEXT NOT NULL, episode INTEGER NOT NULL, id TEXT NOT NULL, model TEXT NOT NULL, rule TEXT NOT NULL,
        state TEXT NOT NULL, severity INTEGER NOT NULL, incident TEXT NOT NULL, since BIGINT, resolved_at BIGINT,
        updated_at BIGINT, body TEXT NOT NULL, PRIMARY KEY (fingerprint, episode))""",
    "CREATE INDEX alerts_by_model ON alerts (model, state)",
    """CREATE TABLE alert_events (
        id {identity}, fingerprint TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
        window_end BIGINT NOT NULL, evaluated_at BIGINT NOT NULL, severity INTEGER NOT NULL,
        value DOUBLE PRECISION, incident TEXT NOT NULL, detail TEXT NOT NULL)""",
    "CREATE INDEX alert_events_by_fingerprint ON alert_events (fingerprint, id)",
    "CREATE INDEX alert_events_by_incident ON alert_events (incident, id)",
    """CREATE TABLE incidents (
        id TEXT PRIMARY KEY, model TEXT NOT NULL, state TEXT NOT NULL, severity INTEGER NOT NULL,
        opened_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, revision INTEGER NOT NULL, body TEXT NOT NULL)""",
    "CREATE INDEX incidents_by_state ON incidents (state, opened_at)",
    """CREATE TABLE threads (
        incident TEXT NOT NULL, channel TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (incident, channel))""",
    """CREATE TABLE outbox (
        delivery_id TEXT PRIMARY KEY, channel TEXT NOT NULL, incident TEXT NOT NULL, kind TEXT NOT NULL,
        severity INTEGER NOT NULL, sequence INTEGER NOT NULL, created_at BIGINT NOT NULL, status TEXT NOT NULL,
        due_at BIGINT NOT NULL, attempts INTEGER NOT NULL, holder TEXT NOT NULL, lease_until BIGINT,
        reconcile BOOLEAN NOT NULL, first_tried_at BIGINT, sent_at BIGINT, last_error TEXT NOT NULL, receipt TEXT,
        body TEXT NOT NULL)""",
    "CREATE INDEX outbox_open ON outbox (status, channel, due_at)",
    "CREATE INDEX outbox_by_age ON outbox (created_at)",
    "CREATE INDEX outbox_order ON outbox (incident, channel, sequence)",
    """CREATE TABLE channel_states (
        channel TEXT PRIMARY KEY, paused_until BIGINT NOT NULL, reason TEXT NOT NULL)""",
    """CREATE TABLE silences (
        id TEXT PRIMARY KEY, starts_at BIGINT NOT NULL, ends_at BIGINT NOT NULL, body TEXT NOT NULL)""",
    """CREATE TABLE baselines (
        model TEXT NOT NULL, name TEXT NOT NULL, baseline_id TEXT NOT NULL, bins_id TEXT NOT NULL,
        created_at BIGINT NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (model, name))""",
    "CREATE TABLE watermarks (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE leases (
        name TEXT PRIMARY KEY, holder TEXT NOT NULL, fencing BIGINT NOT NULL, expires_at BIGINT NOT NULL)""",
    """CREATE TABLE heartbeats (component TEXT PRIMARY KEY, at BIGINT NOT NULL, last_window TEXT NOT NULL)""",
    """CREATE VIEW metrics AS
        SELECT {time of p.window_start} AS window_start, {time of p.window_end} AS window_end,
               s.grain, s.model_name, s.model_version,
               s.segment_key, s.segment_value, s.feature, s.metric, p.value, p.lower, p.upper, p.p_value, p.q_value,
               p.n_reference, p.n_current, p.status, o.baseline_id, o.bins_id, p.source_version, o.code_version,
               {time of p.computed_at} AS computed_at
        FROM metric_points p JOIN metric_series s ON s.id = p.series_id JOIN metric_sources o ON o.id = p.source_id""",
)
