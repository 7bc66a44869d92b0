"""Slots: one owner, numbers that never restart, nothing left behind by the dead."""

import os
from pathlib import Path

import pytest

from tiltmeter.capture.budget import Budget
from tiltmeter.capture.files import LOCAL_FILES
from tiltmeter.capture.slot import claim_slot
from tiltmeter.capture.spool import (
    SpoolWriter,
    read_segment,
    remove_segment,
    sealed_segments,
    take_over_abandoned,
)
from tiltmeter.domain.errors import ConfigError, UnreadableData

ROOMY = Budget(max_bytes=10**12, min_free=0.0)


def writer(spool, **more):
    return SpoolWriter(spool, budget=ROOMY, host="api-1", threaded=False, **more)


def payloads(spool):
    return [payload for s in sealed_segments(spool) for _, payload in read_segment(s.path).records]


def test_two_writers_own_two_slots(tmp_path):
    one, two = writer(tmp_path), writer(tmp_path)
    one.put(b"a")
    two.put(b"b")
    assert sorted(p.name for p in (tmp_path / "api-1").iterdir()) == ["slot-0001", "slot-0002"]
    one.close()
    two.close()
    assert payloads(tmp_path) == [b"a", b"b"]


def test_a_closed_slot_is_used_again_and_its_numbers_go_on(tmp_path):
    seen = []
    for turn in range(3):
        one = writer(tmp_path)
        one.put(b"%d" % turn)
        one.close()
        for segment in sealed_segments(tmp_path):
            seen.append((segment.slot_id, segment.seq))
            remove_segment(segment.path)
    assert [number for _, number in seen] == [1, 2, 3]
    assert len({slot for slot, _ in seen}) == 1


def test_a_slot_without_segments_gets_a_new_identity(tmp_path):
    first = claim_slot(LOCAL_FILES, tmp_path / "h")
    for fd in (first.fd, first.lock):
        os.close(fd)
    for path in first.folder.glob("0*"):
        path.unlink()
    second = claim_slot(LOCAL_FILES, tmp_path / "h")
    assert second.folder == first.folder
    assert second.identity != first.identity


def test_what_a_dead_worker_left_is_sealed_by_the_shipper(tmp_path):
    dead = writer(tmp_path)
    dead.put(b"kept")
    assert take_over_abandoned(tmp_path) == []  # it lives
    dead._files.close(dead._slot.lock)  # as the kernel does when it dies
    (taken,) = take_over_abandoned(tmp_path)
    assert taken.name == "slot-0001"
    assert payloads(tmp_path) == [b"kept"]
    assert take_over_abandoned(tmp_path) == []


def test_a_segment_behind_an_open_one_waits(tmp_path):
    one = writer(tmp_path)
    one.put(b"a")
    one.close()
    (sealed,) = sealed_segments(tmp_path)
    sealed.path.rename(sealed.path.with_suffix(".open"))
    (tmp_path / "api-1/slot-0001/000002.open").rename(tmp_path / "api-1/slot-0001/000002.seg")
    assert sealed_segments(tmp_path) == []


def test_a_damaged_id_file_costs_nothing(tmp_path):
    one = writer(tmp_path)
    one.put(b"a")
    one.close()
    identity = tmp_path / "api-1/slot-0001/id"
    before = identity.read_bytes()
    identity.write_bytes(b"garbage")
    two = writer(tmp_path)
    two.put(b"b")
    two.close()
    assert identity.read_bytes() == before
    assert payloads(tmp_path) == [b"a", b"b"]


def test_a_segment_that_nothing_identifies_is_an_error_by_name(tmp_path):
    lost = tmp_path / "000001.seg"
    lost.write_bytes(b"x" * 100)
    with pytest.raises(UnreadableData, match=r"000001\.seg"):
        read_segment(lost)


def test_a_forked_child_claims_its_own_slot(tmp_path):
    parent = writer(tmp_path)
    parent.put(b"parent")
    child = os.fork()
    if child == 0:
        parent.put(b"child")
        parent.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    parent.put(b"parent again")
    parent.close()
    found = {s.path.parent.name: read_segment(s.path).records for s in sealed_segments(tmp_path)}
    assert [p for _, p in found["slot-0001"]] == [b"parent", b"parent again"]
    assert [p for _, p in found["slot-0002"]] == [b"child"]


def test_symbolic_links_in_the_spool_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    slot = tmp_path / "spool/api-1/slot-0001"
    slot.mkdir(parents=True)
    (slot / "id").symlink_to(outside)
    one = writer(tmp_path / "spool")
    assert not one.start()
    assert outside.read_bytes() == b"precious"


def test_a_host_name_cannot_leave_the_spool(tmp_path):
    one = SpoolWriter(tmp_path / "spool", budget=ROOMY, host="../../etc", threaded=False)
    one.put(b"a")
    one.close()
    (folder,) = (tmp_path / "spool").iterdir()
    assert folder.parent == tmp_path / "spool"
    assert folder.name == "-..-etc"


def test_an_unknown_durability_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="durability"):
        SpoolWriter(tmp_path, durability="memory")


def test_only_the_folder_of_the_host_is_listed_when_asked(tmp_path):
    for host in ("a", "b"):
        one = SpoolWriter(tmp_path, budget=ROOMY, host=host, threaded=False)
        one.put(b"x")
        one.close()
    assert [s.host for s in sealed_segments(tmp_path)] == ["a", "b"]
    assert [s.host for s in sealed_segments(Path(tmp_path), host="b")] == ["b"]
