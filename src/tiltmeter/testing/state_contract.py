"""What every state store must do. Derive a class, give it the fixtures `store` and `clock`, and let pytest run it.

class TestMyStore(StateContract):
    @pytest.fixture
    def store(self, clock): ...
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tiltmeter.domain.alert import AlertState, IncidentState, Silence
from tiltmeter.domain.baseline import BaselineRecord
from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.message import DeliveryStatus, MessageKind, Receipt
from tiltmeter.domain.metric import Status
from tiltmeter.domain.rule import Escalation, EscalationStep
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain
from tiltmeter.ports import MetricQuery, StateStore
from tiltmeter.testing.samples import (
    HOUR,
    MODEL,
    T0,
    SteppedClock,
    sample_alert,
    sample_event,
    sample_incident,
    sample_message,
    sample_metric,
    sample_run,
    sample_window,
)

LEASE = timedelta(seconds=60)


class StateContract:
    """The promises of `tiltmeter.ports.StateStore`, runnable."""

    @pytest.fixture
    def clock(self) -> SteppedClock:
        return SteppedClock()

    @pytest.fixture
    def store(self, clock: SteppedClock) -> StateStore:
        raise NotImplementedError("give a `store` fixture that returns an empty store with this clock")

    # -- runs and metrics -----------------------------------------------------------------------------------------

    def test_everything_of_a_run_is_read_back_as_it_was_written(self, store: StateStore) -> None:
        metric = sample_metric(
            lower=0.3, p_value=0.0, q_value=1e-300, n_reference=48_112, n_current=6_904, baseline_id="b", bins_id="c",
            source_version=7, computed_at=T0, details={"worst": ["a"], "share": 0.1, "count": 3, "name": "é"},
        )  # fmt: skip
        missing = sample_metric("drift.kl", value=None, status=Status.TOO_FEW_ROWS, why_missing="3 of 200 rows")
        ladder = Escalation("critical", (EscalationStep(timedelta(minutes=15), ("slack",), broadcast=True),), 8 * HOUR)
        incident = sample_incident(escalation=ladder, next_step_at=T0, acknowledged_by="Anna", told=Severity.WARNING)
        event = sample_event(incident="inc_a", detail={"from": "none", "share": 0.5, "rows": 3, "why": None})
        run = sample_run(
            metrics=(metric, missing), alerts=(sample_alert(),), events=(event,), incidents=(incident,),
            messages=(sample_message(),),
        )  # fmt: skip
        assert store.commit(run)
        assert store.metrics(MetricQuery(model=MODEL)) == [missing, metric]
        assert store.alerts(MODEL) == {"f1": sample_alert()}
        assert store.incident("inc_a") == incident
        assert store.incidents(MODEL) == [incident]
        assert store.events(fingerprint="f1") == [event]
        assert [d.message for d in store.deliveries(incident="inc_a")] == [sample_message()]

    def test_the_same_window_and_version_is_committed_once(self, store: StateStore) -> None:
        assert store.commit(sample_run(metrics=(sample_metric(),), messages=(sample_message(),)))
        assert not store.commit(sample_run(metrics=(sample_metric(value=9.0),)))
        assert store.metrics(MetricQuery())[0].value == 0.31
        assert len(store.deliveries()) == 1

    def test_a_live_window_without_version_is_committed_once(self, store: StateStore) -> None:
        assert store.commit(sample_run(version=None))
        assert not store.commit(sample_run(version=None))

    def test_a_newer_version_replaces_the_numbers_of_its_window_alone(self, store: StateStore) -> None:
        later = sample_window(T0 + HOUR)
        store.commit(sample_run(metrics=(sample_metric(), sample_metric("drift.kl", value=0.1))))
        store.commit(sample_run(at=later, metrics=(sample_metric(at=later, value=0.5),)))
        assert store.commit(sample_run(version=8, metrics=(sample_metric(value=0.4),)))
        assert [(m.name, m.value) for m in store.metrics(MetricQuery())] == [("drift.psi", 0.4), ("drift.psi", 0.5)]

    def test_an_older_version_changes_nothing(self, store: StateStore) -> None:
        store.commit(sample_run(version=8, metrics=(sample_metric(),)))
        assert not store.commit(sample_run(version=7, metrics=(sample_metric(value=0.9),)))
        assert store.metrics(MetricQuery())[0].value == 0.31

    def test_metrics_are_found_by_every_part_of_their_subject(self, store: StateStore) -> None:
        day = sample_window(grain=Grain.DAY, length=24 * HOUR)
        store.commit(sample_run(metrics=(sample_metric(), sample_metric("features.mean", feature="region", at=day))))
        for query, count in (
            (MetricQuery(model=MODEL), 2),
            (MetricQuery(model="other"), 0),
            (MetricQuery(metric="drift.psi"), 1),
            (MetricQuery(prefix="features."), 1),
            (MetricQuery(prefix="feature_"), 0),
            (MetricQuery(grain=Grain.DAY), 1),
            (MetricQuery(feature="region"), 1),
            (MetricQuery(version="14"), 2),
            (MetricQuery(version=""), 0),
            (MetricQuery(segment=("", "")), 2),
            (MetricQuery(since=T0, until=T0 + HOUR), 1),
            (MetricQuery(since=T0 + HOUR, until=T0 + 24 * HOUR), 1),
            (MetricQuery(until=T0), 0),
        ):
            assert len(store.metrics(query)) == count, query

    def test_newest_only_gives_one_number_a_subject(self, store: StateStore) -> None:
        for hour in range(3):
            window = sample_window(T0 + hour * HOUR)
            metrics = [sample_metric(at=window, value=float(hour))]
            metrics += [sample_metric(at=window, feature="gone")] if hour == 0 else []
            store.commit(sample_run(at=window, metrics=tuple(metrics)))
        found = store.metrics(MetricQuery(newest_only=True))
        assert [(m.subject.feature, m.value) for m in found] == [("gone", 0.31), ("company_size", 2.0)]

    # -- leases ---------------------------------------------------------------------------------------------------

    def test_a_lease_has_one_holder_until_it_runs_out(self, store: StateStore) -> None:
        first = store.take_lease("evaluator", "a", now=T0, ttl=LEASE)
        assert first is not None
        assert store.take_lease("evaluator", "b", now=T0 + LEASE / 2, ttl=LEASE) is None
        second = store.take_lease("evaluator", "b", now=T0 + LEASE, ttl=LEASE)
        assert second is not None
        assert second.fencing > first.fencing

    def test_renewing_keeps_the_fencing_number(self, store: StateStore) -> None:
        first = store.take_lease("evaluator", "a", now=T0, ttl=LEASE)
        again = store.take_lease("evaluator", "a", now=T0 + LEASE / 2, ttl=LEASE)
        assert first is not None
        assert again is not None
        assert again.fencing == first.fencing
        assert again.expires_at == T0 + LEASE / 2 + LEASE

    def test_whoever_lost_the_lease_cannot_commit(self, store: StateStore) -> None:
        lost = store.take_lease("evaluator", "a", now=T0, ttl=LEASE)
        assert lost is not None
        taken = store.take_lease("evaluator", "b", now=T0 + 2 * LEASE, ttl=LEASE)
        with pytest.raises(StoreError, match="lost"):
            store.commit(sample_run(metrics=(sample_metric(),)), lease=lost)
        assert store.metrics(MetricQuery()) == []
        assert store.commit(sample_run(metrics=(sample_metric(),)), lease=taken)

    def test_a_released_lease_can_be_taken_at_once(self, store: StateStore) -> None:
        lease = store.take_lease("evaluator", "a", now=T0, ttl=LEASE)
        assert lease is not None
        store.release_lease(lease)
        assert store.take_lease("evaluator", "b", now=T0, ttl=LEASE) is not None

    def test_what_a_dead_process_held_is_free_before_it_runs_out(self, store: StateStore) -> None:
        store.take_lease("evaluator", "dead", now=T0, ttl=LEASE)
        store.take_lease("maintenance", "alive", now=T0, ttl=LEASE)
        store.enqueue([sample_message(), sample_message(channel="mail")])
        late = self._claim(store, holder="dead")
        self._claim(store, holder="alive", channel="mail")
        soon = T0 + LEASE / 10
        assert store.release_held("dead", at=soon) == 2
        assert store.take_lease("evaluator", "b", now=T0, ttl=LEASE) is not None
        assert store.take_lease("maintenance", "b", now=T0, ttl=LEASE) is None
        assert self._claim(store) is None, "a receiver may still be storing it"
        assert self._claim(store, soon).message.reconcile
        assert self._claim(store, soon, channel="mail") is None
        assert not store.settle(late, DeliveryStatus.SENT, holder="dead", now=soon)

    def test_nobody_held_nothing(self, store: StateStore) -> None:
        store.enqueue([sample_message()])
        assert store.release_held("", at=T0) == 0

    # -- incidents and alerts -------------------------------------------------------------------------------------

    def test_an_acknowledgement_is_not_undone_by_a_window_judged_at_the_same_moment(self, store: StateStore) -> None:
        store.commit(sample_run(incidents=(sample_incident(),)))
        read_by_pipeline = store.incident("inc_a")
        read_by_person = store.incident("inc_a")
        assert read_by_pipeline is not None
        assert read_by_person is not None
        store.save_incident(replace(read_by_person, acknowledged_by="Anna"), ())
        run = sample_run(
            at=sample_window(T0 + HOUR), incidents=(replace(read_by_pipeline, severity=Severity.CRITICAL),)
        )
        with pytest.raises(StoreError) as caught:
            store.commit(run)
        assert caught.value.retryable
        kept = store.incident("inc_a")
        assert kept is not None
        assert kept.acknowledged_by == "Anna"
        assert store.commit(replace(run, incidents=(replace(kept, severity=Severity.CRITICAL),)))

    def test_open_alerts_are_pending_firing_or_lately_resolved(self, store: StateStore, clock: SteppedClock) -> None:
        resolved = sample_alert("r", state=AlertState.RESOLVED, resolved_at=T0, updated_at=T0)
        alerts = (sample_alert("p", state=AlertState.PENDING), sample_alert("f"), resolved)
        closed = sample_alert("c", state=AlertState.CLOSED)
        store.commit(sample_run(alerts=(*alerts, closed)))
        assert set(store.alerts()) == {"p", "f", "r"}
        clock.advance(timedelta(minutes=31))
        assert set(store.alerts()) == {"p", "f"}
        assert set(store.alerts(open_only=False)) == {"p", "f", "r", "c"}
        assert store.alerts("other") == {}

    def test_an_alert_is_its_newest_episode(self, store: StateStore) -> None:
        store.commit(sample_run(alerts=(sample_alert(episode=1), sample_alert(episode=2))))
        assert store.alerts()["f1"].episode == 2

    def test_open_incidents_come_newest_first(self, store: StateStore) -> None:
        over = sample_incident("inc_c", state=IncidentState.RESOLVED)
        store.commit(sample_run(incidents=(sample_incident(), sample_incident("inc_b", opened_at=T0 + HOUR), over)))
        assert [i.id for i in store.incidents()] == ["inc_b", "inc_a"]
        assert len(store.incidents(open_only=False)) == 3
        assert [i.id for i in store.incidents(limit=1)] == ["inc_b"]
        assert store.incident("inc_zz") is None

    def test_several_writes_are_one_transaction(self, store: StateStore) -> None:
        class InterruptedRun(Exception):
            pass

        def interrupted() -> None:
            with store.transaction():
                store.set_watermark("drift", "1")
                store.commit(sample_run(metrics=(sample_metric(),)))
                raise InterruptedRun

        with pytest.raises(InterruptedRun):
            interrupted()
        assert store.watermark("drift") is None
        assert store.metrics(MetricQuery()) == []
        assert store.commit(sample_run(metrics=(sample_metric(),)))
        assert len(store.metrics(MetricQuery())) == 1

    # -- outbox ---------------------------------------------------------------------------------------------------

    def _claim(self, store: StateStore, at: Any = T0, *, holder: str = "w", channel: str = "slack") -> Any:  # noqa: ANN401 - keeps the tests short
        return store.claim(at, holder=holder, channels=[channel], lease=LEASE)

    def test_the_same_delivery_id_is_queued_once(self, store: StateStore) -> None:
        store.enqueue([sample_message(), sample_message()])
        store.enqueue([sample_message()])
        assert len(store.deliveries()) == 1

    def test_a_claimed_message_is_nobody_elses(self, store: StateStore) -> None:
        store.enqueue([sample_message()])
        assert self._claim(store).message.attempt == 1
        assert self._claim(store, holder="other") is None

    def test_an_expired_claim_is_taken_over_and_has_to_look_first(self, store: StateStore) -> None:
        store.enqueue([sample_message()])
        first = self._claim(store, holder="dead")
        second = self._claim(store, T0 + LEASE)
        assert second.message.reconcile
        assert second.attempts == 2
        assert second.message.first_tried_at == T0
        assert not store.settle(first, DeliveryStatus.SENT, holder="dead", now=T0 + LEASE)
        assert store.settle(second, DeliveryStatus.SENT, holder="w", now=T0 + LEASE)
        assert not store.settle(second, DeliveryStatus.SENT, holder="w", now=T0 + LEASE)

    def test_a_holder_that_claims_again_cannot_settle_its_first_claim(self, store: StateStore) -> None:
        store.enqueue([sample_message()])
        first = self._claim(store)
        assert self._claim(store, T0 + LEASE) is not None
        assert not store.settle(first, DeliveryStatus.SENT, holder="w", now=T0 + LEASE)

    def test_an_unknown_outcome_is_remembered_until_it_is_sent(self, store: StateStore) -> None:
        store.enqueue([sample_message()])
        store.settle(self._claim(store), DeliveryStatus.QUEUED, holder="w", now=T0, due_at=T0, reconcile=True)
        again = self._claim(store)
        assert again.message.reconcile
        store.settle(again, DeliveryStatus.QUEUED, holder="w", now=T0, due_at=T0, error="503")
        assert self._claim(store).message.reconcile

    def test_within_an_incident_and_channel_the_lowest_sequence_goes_first(self, store: StateStore) -> None:
        store.enqueue([sample_message(MessageKind.WORSENED, sequence=2), sample_message(sequence=1)])
        first = self._claim(store)
        assert first.message.sequence == 1
        assert self._claim(store) is None
        store.settle(first, DeliveryStatus.QUEUED, holder="w", now=T0, due_at=T0 + HOUR)
        assert self._claim(store) is None, "a later message overtook one that is tried again"
        store.settle(self._claim(store, T0 + HOUR), DeliveryStatus.SENT, holder="w", now=T0 + HOUR)
        assert self._claim(store, T0 + HOUR).message.sequence == 2

    def test_incidents_and_channels_do_not_wait_for_each_other(self, store: StateStore) -> None:
        store.enqueue([sample_message(), sample_message(incident="inc_b"), sample_message(channel="mail")])
        assert {self._claim(store).message.incident, self._claim(store).message.incident} == {"inc_a", "inc_b"}
        assert self._claim(store, channel="mail") is not None

    def test_criticals_go_first(self, store: StateStore) -> None:
        store.enqueue([sample_message(severity=Severity.WARNING), sample_message(incident="inc_b", at=T0)])
        assert self._claim(store).message.severity is Severity.CRITICAL

    def test_nothing_is_claimed_before_it_is_due(self, store: StateStore) -> None:
        store.enqueue([sample_message(at=T0 + HOUR)])
        assert self._claim(store) is None

    def test_a_paused_channel_waits_and_the_others_do_not(self, store: StateStore) -> None:
        store.enqueue([sample_message(), sample_message(channel="mail")])
        store.pause_channel("slack", T0 + HOUR, "429")
        store.pause_channel("slack", T0 + LEASE, "a shorter pause does not shorten the first")
        assert self._claim(store, T0 + LEASE) is None
        assert self._claim(store, channel="mail") is not None
        assert self._claim(store, T0 + HOUR) is not None

    def test_an_alarm_that_recovers_unsent_becomes_one_message(self, store: StateStore) -> None:
        store.enqueue([sample_message(), sample_message(MessageKind.UPDATED, sequence=2)])
        store.enqueue([sample_message(MessageKind.RESOLVED, sequence=3)])
        claimed = self._claim(store)
        assert claimed.message.kind is MessageKind.RESOLVED
        assert "Fired and recovered" in claimed.message.content.effect
        statuses = [d.status for d in store.deliveries()]
        assert statuses == [DeliveryStatus.DROPPED, DeliveryStatus.DROPPED, DeliveryStatus.SENDING]

    def test_an_alarm_that_was_tried_is_not_dropped_when_it_recovers(self, store: StateStore) -> None:
        store.enqueue([sample_message()])
        store.settle(self._claim(store), DeliveryStatus.QUEUED, holder="w", now=T0, due_at=T0, reconcile=True)
        store.enqueue([sample_message(MessageKind.RESOLVED, sequence=2)])
        assert self._claim(store).message.kind is MessageKind.FIRED

    def test_a_newer_update_replaces_an_unsent_one(self, store: StateStore) -> None:
        store.enqueue([sample_message(MessageKind.UPDATED, sequence=n) for n in (1, 2, 3)])
        assert self._claim(store).message.sequence == 3
        assert self._claim(store) is None

    def test_what_a_channel_gives_back_reaches_later_messages_of_the_incident(self, store: StateStore) -> None:
        store.commit(sample_run(incidents=(sample_incident(),), messages=(sample_message(),)))
        stale = store.incident("inc_a")
        assert stale is not None
        receipt = Receipt("C1/1.0", {"ts": "1.0", "channel": "C1"}, "all well")
        store.settle(self._claim(store), DeliveryStatus.SENT, holder="w", now=T0, receipt=receipt)
        store.save_incident(
            replace(stale, severity=Severity.CRITICAL), [sample_message(MessageKind.WORSENED, sequence=2)]
        )
        assert self._claim(store).message.thread == {"ts": "1.0", "channel": "C1"}
        kept = store.incident("inc_a")
        assert kept is not None
        assert kept.threads == {"slack": {"ts": "1.0", "channel": "C1"}}
        sent = store.deliveries(status=DeliveryStatus.SENT)[0]
        assert sent.receipt is not None
        assert (sent.receipt.reference, sent.receipt.note) == ("C1/1.0", "all well")

    def test_every_turn_of_a_message_is_an_event_of_its_incident(self, store: StateStore) -> None:
        store.enqueue([sample_message()])
        store.settle(self._claim(store), DeliveryStatus.QUEUED, holder="w", now=T0, due_at=T0, error="503")
        store.settle(self._claim(store), DeliveryStatus.DEAD, holder="w", now=T0, error="gone")
        kinds = [event.kind for event in store.events(incident="inc_a")]
        assert kinds == ["message_queued", "message_retried", "message_dead"]

    def test_the_dashboard_has_its_messages_at_once(self, store: StateStore) -> None:
        store.enqueue([sample_message(channel="dashboard")])
        assert store.deliveries()[0].status is DeliveryStatus.SENT

    def test_channels_report_their_queue(self, store: StateStore) -> None:
        store.enqueue(
            [sample_message(), sample_message(incident="inc_b", at=T0 - HOUR), sample_message(channel="mail")]
        )
        store.settle(self._claim(store, channel="mail"), DeliveryStatus.SENT, holder="w", now=T0 + LEASE)
        mail, slack = store.channel_states()
        assert (mail.name, mail.queued, mail.last_sent_at) == ("mail", 0, T0 + LEASE)
        assert (slack.name, slack.queued, slack.oldest_at) == ("slack", 2, T0 - HOUR)
        assert store.queued_since(T0) == {"mail": 1, "slack": 1}

    def test_forgetting_spares_what_was_not_sent(self, store: StateStore) -> None:
        store.enqueue([sample_message(), sample_message(incident="inc_b")])
        store.settle(self._claim(store), DeliveryStatus.SENT, holder="w", now=T0)
        assert store.forget_sent("slack", T0 + HOUR) == 1
        assert len(store.deliveries()) == 1

    # -- small things ---------------------------------------------------------------------------------------------

    def test_silences_end(self, store: StateStore) -> None:
        silence = Silence("sil_1", {"rule": "feature_psi", "feature": "é"}, T0, T0 + HOUR, "Anna", "deploy")
        store.save_silence(silence)
        assert store.silences(T0 - HOUR) == [silence]
        store.save_silence(replace(silence, ends_at=T0 + LEASE))
        assert store.silences(T0 + LEASE) == []

    def test_baselines_in_use_are_replaced_by_name(self, store: StateStore) -> None:
        record = BaselineRecord("lead-scoring", "training", "b1", "c1", T0, "training.parquet")
        newer = BaselineRecord("lead-scoring", "training", "b2", "c1", T0 + HOUR, "models:/lead-scoring@champion", "15")
        other = BaselineRecord("churn", "first week", "b3", "c2", T0)
        for one in (record, newer, other):
            store.save_baseline(one)
        assert store.baselines() == [other, newer]
        assert store.baselines("lead-scoring") == [newer]

    def test_positions_and_beats_are_kept(self, store: StateStore) -> None:
        assert store.watermark("drift") is None
        store.set_watermark("drift", "1")
        store.set_watermark("drift", "2")
        assert store.watermark("drift") == "2"
        store.beat("alerts", T0)
        store.beat("alerts", T0 + HOUR, "2026-11-23T06:00Z")
        assert store.heartbeats() == {"alerts": T0 + HOUR}
