"""The queue of changes: order, bounds, failures, and the end."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from service.live.jobs import JobQueue, Progress
from service.observability import Metrics
from uwe_core.errors import ConflictError, OverloadedError, ShuttingDownError, UnknownJobError


@pytest.fixture
def queue() -> JobQueue:
    return JobQueue(2, Metrics(()))


def over(queue: JobQueue, identifier: str) -> str:
    for _ in range(1000):
        if queue.get(identifier).over:
            return queue.get(identifier).state
        time.sleep(0.005)
    raise AssertionError(queue.get(identifier))


def test_jobs_are_done_in_order_on_one_thread_with_one_core(queue: JobQueue) -> None:
    before = torch.get_num_threads()
    done: list[tuple[str, int, int]] = []
    gate = threading.Event()

    def work(name: str) -> str:
        assert gate.wait(10)
        done.append((name, threading.get_ident(), torch.get_num_threads()))
        return name

    first = queue.submit("a", "put", lambda _: work("first"))
    while queue.get(first.id).state == "queued":
        time.sleep(0.005)
    rest = [queue.submit("b", "put", lambda _: work("second")), queue.submit("c", "patch", lambda _: work("third"))]
    assert queue.pending() == {"a", "b", "c"}
    assert queue.pending("patch") == {"c"}
    with pytest.raises(OverloadedError):
        queue.submit("d", "put", lambda _: None)
    gate.set()
    assert [over(queue, job.id) for job in (first, *rest)] == ["finished"] * 3
    assert [name for name, _, _ in done] == ["first", "second", "third"]
    assert len({thread for _, thread, _ in done}) == 1
    assert {threads for _, _, threads in done} == {1}
    assert torch.get_num_threads() == before
    assert [job.fingerprint for job in queue.all()] == ["third", "second", "first"]
    assert queue.pending() == set()
    queue.close(1)


def test_a_job_that_fails_says_why_and_keeps_the_inside_to_itself(queue: JobQueue) -> None:
    def work(error: Exception) -> str:
        raise error

    conflict = queue.submit("a", "put", lambda _: work(ConflictError("it changed")))
    fault = queue.submit("a", "put", lambda _: work(OSError("secret path")))
    assert [over(queue, job.id) for job in (conflict, fault)] == ["failed", "failed"]
    told = [queue.get(job.id).error for job in (conflict, fault)]
    assert [(error.code, error.message) for error in told if error] == [
        ("conflict", "it changed"),
        ("internal_error", "something went wrong on the server; see its log"),
    ]
    queue.close(1)


def test_the_end_stops_what_runs_and_cancels_what_waits(queue: JobQueue) -> None:
    begun = threading.Event()

    def work(progress: Progress) -> str:
        for done in range(100_000):
            progress(done, 100_000, done)
            begun.set()
            time.sleep(0.001)
        return "never"

    running, waiting = queue.submit("a", "put", work), queue.submit("a", "put", work)
    assert begun.wait(10)
    queue.close(10)
    assert [queue.get(job.id).state for job in (running, waiting)] == ["cancelled", "cancelled"]
    assert queue.get(running.id).total == 100_000
    with pytest.raises(ShuttingDownError):
        queue.submit("a", "put", work)


def test_the_last_hundred_are_remembered() -> None:
    queue = JobQueue(200, Metrics(()))
    jobs = [queue.submit("a", "put", lambda _: None) for _ in range(150)]
    over(queue, jobs[-1].id)
    newest = queue.submit("a", "put", lambda _: None)
    assert len(queue.all()) <= 101
    assert queue.get(newest.id).space == "a"
    with pytest.raises(UnknownJobError):
        queue.get(jobs[0].id)
    queue.close(1)
