BEGIN TRANSACTION;
CREATE TABLE alert_events (
        id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
        window_end BIGINT NOT NULL, evaluated_at BIGINT NOT NULL, severity INTEGER NOT NULL,
        value DOUBLE PRECISION, incident TEXT NOT NULL, detail TEXT NOT NULL);
INSERT INTO "alert_events" VALUES(1,'f1',1,'alert_fired',1795417200000000,1795417200000000,2,0.31,'inc_a','{}');
INSERT INTO "alert_events" VALUES(2,'',1,'message_queued',1795413600000000,1795413600000000,3,NULL,'inc_a','{"channel":"slack","message":"fired","delivery_id":"inc_a/slack/fired/1","attempt":1}');
CREATE TABLE alerts (
        fingerprint TEXT NOT NULL, episode INTEGER NOT NULL, id TEXT NOT NULL, model TEXT NOT NULL, rule TEXT NOT NULL,
        state TEXT NOT NULL, severity INTEGER NOT NULL, incident TEXT NOT NULL, since BIGINT, resolved_at BIGINT,
        updated_at BIGINT, body TEXT NOT NULL, PRIMARY KEY (fingerprint, episode));
INSERT INTO "alerts" VALUES('f1',1,'alr_f11','lead-scoring','feature_psi','firing',2,'',1795413600000000,NULL,1795413600000000,'{"id":"alr_f11","fingerprint":"f1","rule":"feature_psi","subject":{"model":"lead-scoring","model_version":"","feature":"company_size","segment_key":"","segment_value":""},"state":"firing","severity":2,"episode":1,"since":"2026-11-23T06:00:00Z","fired_at":null,"resolved_at":null,"updated_at":"2026-11-23T06:00:00Z","value":null,"peak":null,"breaches":0,"clears":0,"reopened":0,"stale":false,"transitions":0.0,"incident":"","late":false,"metric":{"name":"drift.psi","subject":{"model":"lead-scoring","model_version":"14","feature":"company_size","segment_key":"","segment_value":""},"window":{"start":"2026-11-23T06:00:00Z","end":"2026-11-23T07:00:00Z","grain":"hour"},"value":0.31,"status":"ok","why_missing":"","lower":null,"upper":null,"p_value":null,"q_value":null,"n_reference":null,"n_current":null,"baseline_id":"","bins_id":"","source_version":null,"computed_at":null,"details":{"worst":["a","b"]}},"seq":0,"held":"P0D","breached_at":null,"flapping":false}');
CREATE TABLE baselines (
        model TEXT NOT NULL, name TEXT NOT NULL, baseline_id TEXT NOT NULL, bins_id TEXT NOT NULL,
        created_at BIGINT NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (model, name));
CREATE TABLE channel_states (
        channel TEXT PRIMARY KEY, paused_until BIGINT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE heartbeats (component TEXT PRIMARY KEY, at BIGINT NOT NULL, last_window TEXT NOT NULL);
INSERT INTO "heartbeats" VALUES('serve',1795413600000000,'');
CREATE TABLE incidents (
        id TEXT PRIMARY KEY, model TEXT NOT NULL, state TEXT NOT NULL, severity INTEGER NOT NULL,
        opened_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, revision INTEGER NOT NULL, body TEXT NOT NULL);
INSERT INTO "incidents" VALUES('inc_a','lead-scoring','open',2,1795413600000000,1795413600000000,1,'{"id":"inc_a","model":"lead-scoring","state":"open","severity":2,"opened_at":"2026-11-23T06:00:00Z","updated_at":"2026-11-23T06:00:00Z","peak":0,"resolved_at":null,"title":"","alerts":["alr_f11"],"escalation":null,"step":0,"next_step_at":null,"repeat_at":null,"acknowledged_by":"","acknowledged_at":null,"note":"","threads":{},"sequence":0,"reopened":0,"cause":"","storm":"","told":0,"told_alerts":[],"heard":[],"escalated_at":null,"ack_expires_at":null,"quiet":"","revision":0}');
CREATE TABLE leases (
        name TEXT PRIMARY KEY, holder TEXT NOT NULL, fencing BIGINT NOT NULL, expires_at BIGINT NOT NULL);
INSERT INTO "leases" VALUES('scheduler','host/1',1,1795413645000000);
CREATE TABLE metric_points (
        series_id BIGINT NOT NULL, window_end BIGINT NOT NULL, window_start BIGINT NOT NULL,
        run_id BIGINT NOT NULL, source_id BIGINT NOT NULL, source_version BIGINT, status TEXT NOT NULL,
        value DOUBLE PRECISION, lower DOUBLE PRECISION, upper DOUBLE PRECISION,
        p_value DOUBLE PRECISION, q_value DOUBLE PRECISION, n_reference BIGINT, n_current BIGINT,
        computed_at BIGINT, why_missing TEXT, details TEXT,
        PRIMARY KEY (series_id, window_end, window_start)) WITHOUT ROWID;
INSERT INTO "metric_points" VALUES(1,1795417200000000,1795413600000000,1,1,NULL,'ok',0.31,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "metric_points" VALUES(2,1795417200000000,1795413600000000,1,1,NULL,'ok',300.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE metric_series (
        id INTEGER PRIMARY KEY, grain TEXT NOT NULL, model_name TEXT NOT NULL, metric TEXT NOT NULL,
        model_version TEXT NOT NULL, segment_key TEXT NOT NULL, segment_value TEXT NOT NULL, feature TEXT NOT NULL,
        UNIQUE (model_name, metric, grain, feature, model_version, segment_key, segment_value));
INSERT INTO "metric_series" VALUES(1,'hour','lead-scoring','drift.psi','14','','','company_size');
INSERT INTO "metric_series" VALUES(2,'hour','lead-scoring','features.rows','14','','','');
CREATE TABLE metric_sources (
        id INTEGER PRIMARY KEY, baseline_id TEXT NOT NULL, bins_id TEXT NOT NULL, code_version TEXT NOT NULL,
        UNIQUE (baseline_id, bins_id, code_version));
INSERT INTO "metric_sources" VALUES(1,'','','0.1.0');
CREATE TABLE outbox (
        delivery_id TEXT PRIMARY KEY, channel TEXT NOT NULL, incident TEXT NOT NULL, kind TEXT NOT NULL,
        severity INTEGER NOT NULL, sequence INTEGER NOT NULL, created_at BIGINT NOT NULL, status TEXT NOT NULL,
        due_at BIGINT NOT NULL, attempts INTEGER NOT NULL, holder TEXT NOT NULL, lease_until BIGINT,
        reconcile BOOLEAN NOT NULL, first_tried_at BIGINT, sent_at BIGINT, last_error TEXT NOT NULL, receipt TEXT,
        body TEXT NOT NULL);
INSERT INTO "outbox" VALUES('inc_a/slack/fired/1','slack','inc_a','fired',3,1,1795413600000000,'queued',1795413600000000,0,'',NULL,0,NULL,NULL,'',NULL,'{"delivery_id":"inc_a/slack/fired/1","channel":"slack","incident":"inc_a","model":"lead-scoring","kind":"fired","severity":3,"content":{"title":"30 features drifted, worst lead_source PSI 0.61","effect":"web-form leads 18 points up; scores 0.07 lower","facts":{"What":"daily drift check: 2 critical (> 0.50), 28 warning (> 0.25)","Since":"Mon 23 Nov 2026 06:00 CET (window 22 Nov, whole day)","How bad":"overall PSI 0.38, was 0.07 the day before","Who is hit":"segment partner carries 71 % of the shift","Likely cause":"crm_sync deploy 22 Nov 03:10"},"rows":[{"subject":"lead_source","severity":3,"measure":"PSI","value":"0.61","change":"+18 pp","link":""},{"subject":"company_size","severity":3,"measure":"PSI","value":"0.56","change":"+18 pp","link":""},{"subject":"region","severity":2,"measure":"PSI","value":"0.51","change":"+18 pp","link":""},{"subject":"pages_viewed","severity":2,"measure":"PSI","value":"0.46","change":"+18 pp","link":""},{"subject":"industry","severity":2,"measure":"PSI","value":"0.41","change":"+18 pp","link":""},{"subject":"budget","severity":2,"measure":"PSI","value":"0.36","change":"+18 pp","link":""},{"subject":"employees","severity":2,"measure":"PSI","value":"0.31","change":"+18 pp","link":""}],"more":23,"actions":["check the crm_sync deploy","open baseline against now for lead_source"],"links":{"Incident":"https://tiltmeter.example.com/incident?id=inc_a"},"footer":"inc_a · rule feature_psi@r3 · goes to level 2 at 06:15 CET if nobody acknowledges","page":""},"sequence":1,"created_at":"2026-11-23T06:00:00Z","thread":{},"broadcast":false,"attempt":1,"reconcile":false,"first_tried_at":null}');
CREATE TABLE runs (
        id INTEGER PRIMARY KEY, monitor TEXT NOT NULL, model TEXT NOT NULL, grain TEXT NOT NULL,
        window_start BIGINT NOT NULL, window_end BIGINT NOT NULL, source_version BIGINT,
        evaluated_at BIGINT NOT NULL, repeats INTEGER NOT NULL,
        UNIQUE (monitor, model, grain, window_start, window_end));
INSERT INTO "runs" VALUES(1,'drift','lead-scoring','hour',1795413600000000,1795417200000000,7,1795417200000000,0);
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at BIGINT NOT NULL);
INSERT INTO "schema_version" VALUES(1,1795413600000000);
CREATE TABLE silences (
        id TEXT PRIMARY KEY, starts_at BIGINT NOT NULL, ends_at BIGINT NOT NULL, body TEXT NOT NULL);
INSERT INTO "silences" VALUES('sil_1',1795413600000000,1795428000000000,'{"id":"sil_1","matchers":{"feature":"x"},"starts_at":"2026-11-23T06:00:00Z","ends_at":"2026-11-23T10:00:00Z","created_by":"anna","reason":"backfill"}');
CREATE TABLE threads (
        incident TEXT NOT NULL, channel TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (incident, channel));
CREATE TABLE watermarks (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "watermarks" VALUES('judged:drift:day:lead-scoring','2026-11-23T06:00:00+00:00');
CREATE INDEX runs_by_age ON runs (grain, window_end);
CREATE INDEX metric_points_by_run ON metric_points (run_id);
CREATE INDEX alerts_by_model ON alerts (model, state);
CREATE INDEX alert_events_by_fingerprint ON alert_events (fingerprint, id);
CREATE INDEX alert_events_by_incident ON alert_events (incident, id);
CREATE INDEX incidents_by_state ON incidents (state, opened_at);
CREATE INDEX outbox_open ON outbox (status, channel, due_at);
CREATE INDEX outbox_by_age ON outbox (created_at);
CREATE INDEX outbox_order ON outbox (incident, channel, sequence);
CREATE VIEW metrics AS
        SELECT strftime('%Y-%m-%dT%H:%M:%SZ', p.window_start / 1000000, 'unixepoch') AS window_start, strftime('%Y-%m-%dT%H:%M:%SZ', p.window_end / 1000000, 'unixepoch') AS window_end,
               s.grain, s.model_name, s.model_version,
               s.segment_key, s.segment_value, s.feature, s.metric, p.value, p.lower, p.upper, p.p_value, p.q_value,
               p.n_reference, p.n_current, p.status, o.baseline_id, o.bins_id, p.source_version, o.code_version,
               strftime('%Y-%m-%dT%H:%M:%SZ', p.computed_at / 1000000, 'unixepoch') AS computed_at
        FROM metric_points p JOIN metric_series s ON s.id = p.series_id JOIN metric_sources o ON o.id = p.source_id;
COMMIT;
