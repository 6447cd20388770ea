"""JobQueue: changes of spaces, made one after another on a thread of their own."""

from __future__ import annotations

import logging
import os
import sys
import threading
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch

from service.errors import told
from service.observability import Metrics
from service.space_status import JobKind, JobState
from uwe_core.errors import OverloadedError, ShuttingDownError, UnknownJobError

logger = logging.getLogger(__name__)

# Jobs that are over and can still be asked for.
_REMEMBERED = 100
_NICENESS = 10


@dataclass(frozen=True)
class JobError:
    """Why a job failed, in the words that a response would have."""

    code: str
    message: str


@dataclass(frozen=True)
class Job:
    """A change of a space.

    Attributes:
        done: texts that are indexed, of targets and their aliases.
        total: texts of the version that is made; 0 until it is known.
        encoded: of those that are done, the ones whose text was not known.
        fingerprint: of the index that became live.
    """

    id: str
    space: str
    kind: JobKind
    created: datetime
    state: JobState = "queued"
    done: int = 0
    total: int = 0
    encoded: int = 0
    started: datetime | None = None
    finished: datetime | None = None
    fingerprint: str | None = None
    error: JobError | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in ("queued", "running")


@dataclass(frozen=True)
class Progress:
    """What a job's work tells of itself."""

    _tell: Callable[[int, int, int], None]

    def __call__(self, done: int, total: int, encoded: int) -> None:
        """So much is done.

        Raises:
            ShuttingDownError: stop here.
        """
        self._tell(done, total, encoded)


# What a job does; returns the fingerprint of the index that is live afterwards, if any.
Work = Callable[[Progress], str | None]


class JobQueue:
    """Jobs in the order in which they came. The thread starts with the first one.

    Args:
        most_waiting: jobs that may wait; more are refused.
        metrics: told of jobs.
    """

    def __init__(self, most_waiting: int, metrics: Metrics) -> None:
        self._most_waiting = most_waiting
        self._metrics = metrics
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._waiting: deque[tuple[str, Work]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        metrics.space_jobs_waiting.set_function(lambda: len(self._waiting))

    def submit(self, space: str, kind: JobKind, work: Work) -> Job:
        """Do this when everything before it is done.

        Raises:
            OverloadedError: too many wait already.
            ShuttingDownError: the server is going away.
        """
        job = Job(uuid.uuid4().hex, space, kind, datetime.now(UTC))
        with self._changed:
            if self._closed:
                raise ShuttingDownError("the server is shutting down")
            if len(self._waiting) >= self._most_waiting:
                raise OverloadedError(f"{len(self._waiting)} changes of spaces wait already", 5)
            self._jobs[job.id] = job
            self._waiting.append((job.id, work))
            self._forget()
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="spaces", daemon=True)
                self._thread.start()
        return job

    def all(self) -> list[Job]:
        """All that are remembered, newest first."""
        with self._changed:
            return list(reversed(self._jobs.values()))

    def get(self, identifier: str) -> Job:
        """The job of that id.

        Raises:
            UnknownJobError: there is none, or it is too long ago.
        """
        with self._changed:
            try:
                return self._jobs[identifier]
            except KeyError:
                raise UnknownJobError(f"no job '{identifier:.64}'; the last {_REMEMBERED} are remembered") from None

    def pending(self, kind: JobKind | None = None) -> set[str]:
        """Names of the spaces with jobs that are not over, of one kind or of any."""
        with self._changed:
            return {job.space for job in self._jobs.values() if not job.over and kind in (None, job.kind)}

    def close(self, seconds: float) -> None:
        """Stop what runs as soon as it can be, cancel what waits, and wait so long for the thread to end."""
        with self._changed:
            self._closed = True
            while self._waiting:
                identifier, _ = self._waiting.popleft()
                self._finish(identifier, "cancelled")
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(seconds)

    # What follows runs on the thread of the jobs.

    def _run(self) -> None:
        _take_little()
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                identifier, work = self._waiting.popleft()
                self._update(identifier, state="running", started=datetime.now(UTC))
            self._do(identifier, work)

    def _do(self, identifier: str, work: Work) -> None:
        def tell(done: int, total: int, encoded: int) -> None:
            if self._closed:
                raise ShuttingDownError("the server is shutting down")
            with self._changed:
                self._update(identifier, done=done, total=total, encoded=encoded)

        try:
            fingerprint = work(Progress(tell))
        except ShuttingDownError:
            self._finish(identifier, "cancelled")
        except Exception as error:
            code, message = told(error)
            logger.warning("job %s failed: %s", identifier, error, exc_info=error if code == "internal_error" else None)
            self._finish(identifier, "failed", error=JobError(code, message))
        else:
            self._finish(identifier, "finished", fingerprint=fingerprint)

    def _finish(self, identifier: str, state: JobState, **news: object) -> None:
        with self._changed:
            self._update(identifier, state=state, finished=datetime.now(UTC), **news)
            self._metrics.space_jobs.labels(self._jobs[identifier].kind, state).inc()

    def _update(self, identifier: str, **news: object) -> None:
        self._jobs[identifier] = replace(self._jobs[identifier], **news)  # type: ignore[arg-type]

    def _forget(self) -> None:
        over = [job.id for job in self._jobs.values() if job.over]
        for identifier in over[: max(0, len(self._jobs) - _REMEMBERED)]:
            del self._jobs[identifier]


def _take_little() -> None:
    """Leave the processor to the rankings: this thread computes on one core, and only when nobody else wants it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # The number is each thread's own, but threads to come take the last one that was set.
    restorer = threading.Thread(target=torch.set_num_threads, args=(threads,))
    restorer.start()
    restorer.join()
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
