"""Requests in flight: as many as are there, over threads and workers, and none of a worker that died."""

import asyncio
import os
import signal
import threading
import time

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI

from tiltmeter.capture.budget import Budget
from tiltmeter.capture.fastapi import Capture
from tiltmeter.capture.files import LocalFiles
from tiltmeter.capture.in_flight import InFlight, read_in_flight
from tiltmeter.capture.spool import SpoolWriter, take_over_abandoned
from waiting import until

ROOMY = Budget(max_bytes=10**12, min_free=0.0)


def told(spool):
    return sum(read_in_flight(spool).values())


def held_service(spool, go_on, **options):
    """An application whose answers wait, each path in another way."""
    app = FastAPI()

    @app.get("/held")
    async def held():
        await go_on.wait()
        return {"score": 0.5}

    @app.get("/boom")
    async def boom():
        await go_on.wait()
        raise RuntimeError("with customer data")

    @app.get("/later")
    async def later(tasks: BackgroundTasks):
        tasks.add_task(go_on.wait)
        return {"score": 0.5}

    @app.get("/healthz")
    async def health():
        await go_on.wait()

    writer = SpoolWriter(spool, budget=ROOMY, host="api-1")
    return Capture(app, model="m", writer=writer, **options)


@pytest.mark.parametrize("options", [{}, {"sampling": 0.5, "chance": lambda: 0.9}, {"on_full": "block"}])
def test_every_watched_request_is_in_flight_until_the_application_is_done_with_it(tmp_path, options):
    async def main():
        go_on = asyncio.Event()
        captured = held_service(tmp_path, go_on, **options)
        assert captured.writer.start()
        transport = httpx.ASGITransport(captured, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            sent = [
                asyncio.create_task(client.get(path))
                for path in ("/held", "/held", "/boom", "/later", "/healthz", "/held")
            ]
            await asyncio.to_thread(until, lambda: told(tmp_path) == 5)
            sent[-1].cancel()  # the client went away
            await asyncio.to_thread(until, lambda: told(tmp_path) == 4)
            go_on.set()
            answers = await asyncio.gather(*sent[:-1])
        assert [answer.status_code for answer in answers] == [200, 200, 500, 200, 200]
        await asyncio.to_thread(until, lambda: told(tmp_path) == 0)
        captured.close()

    asyncio.run(main())


def test_the_workers_of_a_host_add_up_and_a_closed_one_leaves_nothing(tmp_path):
    workers = [SpoolWriter(tmp_path, budget=ROOMY, host=host) for host in ("api-1", "api-1", "api-2")]
    for number, worker in enumerate(workers, start=1):
        worker.in_flight.requests.update(range(number))
        worker.start()
    assert (told(tmp_path), sum(read_in_flight(tmp_path, host="api-1").values())) == (6, 3)
    for worker in workers:
        worker.close()
    assert read_in_flight(tmp_path) == {}


def test_threads_that_begin_and_end_at_once_leave_the_count_at_zero():
    flights = InFlight()

    def many(first):
        for mark in range(first, first + 20_000):
            flights.requests.add(mark)
            flights.requests.discard(mark)

    threads = [threading.Thread(target=many, args=(20_000 * number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(flights.requests) == 0


def test_a_killed_worker_leaves_none_in_flight_once_its_slot_is_taken_over(tmp_path):
    ready, told_ready = os.pipe()
    child = os.fork()
    if child == 0:
        worker = SpoolWriter(tmp_path, budget=ROOMY, host="api-1")
        worker.in_flight.requests.update(range(7))
        worker.put(b"a record")
        os.write(told_ready, b"!")
        time.sleep(600)
    os.read(ready, 1)
    assert told(tmp_path) == 7
    assert take_over_abandoned(tmp_path) == []
    assert told(tmp_path) == 7, "it lives"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(take_over_abandoned(tmp_path)) == 1
    assert told(tmp_path) == 0
    os.close(ready)
    os.close(told_ready)


def test_a_forked_child_has_none_of_its_parents_requests(tmp_path):
    parent = SpoolWriter(tmp_path, budget=ROOMY, host="api-1")
    parent.in_flight.requests.update(range(3))
    parent.start()
    child = os.fork()
    if child == 0:
        parent.in_flight.requests.add(99)
        parent.start()
        parent.in_flight.tell(float("inf"))
        os._exit(0 if sorted(read_in_flight(tmp_path).values()) == [1, 3] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert read_in_flight(tmp_path)[tmp_path / "api-1/slot-0001"] == 3
    parent.close()


def test_a_disk_that_refuses_the_number_costs_nothing_but_the_number(tmp_path):
    class Refusing(LocalFiles):
        def overwrite(self, fd, data):
            raise OSError(28, "No space left on device")

    worker = SpoolWriter(tmp_path, budget=ROOMY, host="api-1", files=Refusing(), threaded=False)
    flights = InFlight(Refusing())
    flights.requests.add(1)
    flights.attach(tmp_path)
    flights.tell(1.0)
    flights.detach()
    assert worker.start()
    worker.put(b"a record")
    worker.close()
    (tmp_path / "api-1/slot-0001/in_flight").write_text("none")
    assert read_in_flight(tmp_path) == {}
