"""S14: an outcome post with a missing, wrong, old or repeated signature adds nothing; a right one adds once."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from tables import FakeClock
from tiltmeter.domain.errors import StoreError
from tiltmeter.service.access import Access, Role
from tiltmeter.service.http import create_app
from tiltmeter.service.operations import RunningOperations
from tiltmeter.service.signed_posts import SignedPosts
from tiltmeter.state.sql import SqlStateStore

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
KEY = b"k" * 32
BODY = json.dumps([{"entity_id": "lead-1", "converted": True, "at": NOW.isoformat()}]).encode()


class Spool:
    def __init__(self):
        self.kept, self.is_full, self.breaks_at, self.error, self.meanwhile = [], False, 0, RuntimeError, None

    def put_all(self, outcomes):
        for outcome in outcomes:
            self.put(outcome)

    def put(self, outcome):
        if self.is_full:
            raise StoreError("the spool is full", retryable=True)
        if self.breaks_at and len(self.kept) + 1 == self.breaks_at:
            raise self.error
        if self.meanwhile is not None:
            other, self.meanwhile = self.meanwhile, None
            other()
        self.kept.append(outcome)


@pytest.fixture
def spool():
    return Spool()


@pytest.fixture
def clock():
    return FakeClock(NOW)


@pytest.fixture
def state(tmp_path, clock):
    store = SqlStateStore("sqlite:state.db", clock, home=tmp_path)
    yield store
    store.close()


def client_of(state, clock, spool, keys):
    operations = RunningOperations(SimpleNamespace(clock=clock), None, spool.put_all, dict)
    return TestClient(create_app(None, operations, Access(keys), None, SignedPosts(KEY, state, clock)))


@pytest.fixture
def client(state, clock, spool):
    return client_of(state, clock, spool, {Role.READ: "r"})


def signed(body=BODY, *, post="msg_1", at=NOW, key=KEY):
    stamp = str(int(at.timestamp()))
    digest = hmac.new(key, f"{post}.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": post, "webhook-timestamp": stamp, "webhook-signature": signature}


def post(client, headers, body=BODY):
    return client.post("/api/v1/outcomes", content=body, headers={"content-type": "application/json", **headers})


def test_a_signed_post_is_accepted_once(client, spool):
    assert post(client, signed()).json() == {"accepted": 1}
    assert post(client, signed()).json() == {"accepted": 0}
    assert post(client, signed(post="msg_2")).json() == {"accepted": 1}
    assert len(spool.kept) == 2


def test_one_of_several_signatures_is_enough_while_secrets_are_rotated(client, spool):
    headers = signed()
    headers["webhook-signature"] = f"v1,{'A' * 44} {headers['webhook-signature']}"
    assert post(client, headers).status_code == 202


WRONG = {
    "none": {},
    "empty": signed() | {"webhook-signature": ""},
    "another key": signed(key=b"x" * 32),
    "another body": signed(b"[]"),
    "another id": signed() | {"webhook-id": "msg_9"},
    "another time": signed() | {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
    "too old": signed(at=NOW - timedelta(minutes=5, seconds=1)),
    "from the future": signed(at=NOW + timedelta(minutes=6)),
    "no number": signed() | {"webhook-timestamp": "now"},
    "another version": signed() | {"webhook-signature": "v2," + signed()["webhook-signature"][3:]},
    "cut": signed() | {"webhook-signature": signed()["webhook-signature"][:-4]},
    "hostile": signed() | {"webhook-signature": "v1,' OR 1=1 --"},
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
def test_everything_else_is_refused(headers, client, spool):
    assert post(client, headers).status_code == 401
    assert spool.kept == []


def test_a_recorded_post_cannot_be_played_again_at_any_later_time(client, clock, spool):
    headers = signed(at=NOW + timedelta(minutes=4))
    post(client, headers)
    for minutes in (1, 4, 8, 9, 11, 60):
        clock.at = NOW + timedelta(minutes=minutes)
        assert post(client, headers).json().get("accepted", 0) == 0
    assert len(spool.kept) == 1


def test_another_process_knows_what_was_accepted(client, state, clock, spool):
    post(client, signed())
    assert post(client_of(state, clock, spool, {}), signed()).json() == {"accepted": 0}


def test_a_post_that_could_not_be_kept_may_come_again(client, spool):
    spool.is_full = True
    assert post(client, signed()).status_code == 503
    spool.is_full = False
    assert post(client, signed()).json() == {"accepted": 1}


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_a_post_that_an_error_of_ours_cut_short_may_come_again(error, client, spool):
    body = json.dumps([{"entity_id": f"lead-{n}", "converted": True, "at": NOW.isoformat()} for n in range(3)]).encode()
    spool.breaks_at, spool.error = 2, error
    with pytest.raises(error):
        post(client, signed(body), body)
    assert [outcome.entity_id for outcome in spool.kept] == ["lead-0"]
    spool.breaks_at = 0
    assert post(client, signed(body), body).json() == {"accepted": 3}
    assert {outcome.entity_id for outcome in spool.kept} == {"lead-0", "lead-1", "lead-2"}


def test_two_deliveries_at_once_are_both_answered_by_what_is_kept(client, spool):
    answers = []
    spool.meanwhile = lambda: answers.append(post(client, signed()).json())
    answers.append(post(client, signed()).json())
    assert answers == [{"accepted": 1}, {"accepted": 1}]  # each had spooled it before it answered
    assert spool.kept[0] == spool.kept[1]
    assert post(client, signed()).json() == {"accepted": 0}


def test_a_key_for_outcomes_is_asked_for_besides(state, clock, spool):
    client = client_of(state, clock, spool, {Role.OUTCOMES: "o"})
    assert post(client, signed()).status_code == 401
    assert post(client, signed() | {"authorization": "Bearer wrong"}).status_code == 401
    assert post(client, {"authorization": "Bearer o"}).status_code == 401
    assert spool.kept == []
    assert post(client, signed() | {"authorization": "Bearer o"}).json() == {"accepted": 1}


def test_ids_of_old_posts_are_forgotten(client, state, clock):
    post(client, signed())
    clock.at = NOW + timedelta(days=1)
    state.retain(clock.now(), keep_hourly=timedelta(days=90))
    with state._database.read() as connection:
        from tiltmeter.state.tables import LEASES

        assert connection.execute(LEASES.select()).all() == []
