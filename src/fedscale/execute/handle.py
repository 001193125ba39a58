"""The pool's side of one worker process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import deque
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, Final

from torch import Tensor

from fedscale import limits
from fedscale.errors import WorkerError
from fedscale.execute.memory import as_counter, as_vector, nameless
from fedscale.execute.messages import receive, send
from fedscale.execute.packing import Seat
from fedscale.execute.spec import RunnerSpec
from fedscale.learn.spool import Spool

HEAP: Final = {"MALLOC_MMAP_THRESHOLD_": str(1 << 25), "MALLOC_TRIM_THRESHOLD_": str(1 << 29)}
"""Settings of glibc, unknown to other C libraries. It comes to the first of them by itself in a process that has freed
such blocks, but then gives freed memory back at 64 MiB, only to ask for it again, page by page, with the next batch."""


class Handle:
    """Starts a worker, asks it, notices when it dies or hangs, and replaces it."""

    ready = True
    """A request that is sent to a worker which is being started waits for it in the socket."""

    node = "here"
    depth = 2

    def __init__(
        self,
        spec: RunnerSpec,
        model: IO[bytes],
        length: int,
        spool: Spool | None = None,
        states: Spool | None = None,
        seat: Seat | None = None,
    ) -> None:
        self.seat = seat
        exact = spec.stages.exact
        outputs = {f"output{number}": nameless((8 if exact else 4) * length) for number in range(2)}
        self._own = [*outputs.values(), nameless(8)]
        self._files = {"model": model, **outputs, "counter": self._own[-1]}
        for name, held in (("spool", spool), ("states", states)):
            if held is not None:
                self._files[name] = held.file
        self._outputs = [as_vector(file, exact=exact) for file in outputs.values()]
        self._turn = 0
        self._awaited: deque[Tensor] = deque()
        self._counter = as_counter(self._files["counter"])
        self._hello = {
            "spec": spec.model_dump(mode="json"),
            **{name: file.fileno() for name, file in self._files.items()},
        }
        self._ready = False
        self._starts_that_failed = 0
        self._start()

    @property
    def pid(self) -> int:
        """The process id of the worker."""
        return self._process.pid

    @property
    def item(self) -> int:
        """The task or client that the worker is at, or -1."""
        return int(self._counter[0])

    def ask(self, request: dict[str, Any]) -> None:
        """Send a request; a worker that is gone is noticed by `answer`.

        Sums come back in two outputs by turns, so that one can be read while the worker is at the next.
        """
        self._seen = (self.item, time.monotonic())
        self._turn = 1 - self._turn
        self._awaited.append(self._outputs[self._turn])
        shared = {} if self.seat is None else {"sharing": self.seat.most}
        try:
            send(self.connection, {**request, **shared, "output": self._turn})
        except OSError:
            return

    def has_answered(self) -> bool:
        """Say, once something was heard from the worker, whether it is an answer, or its end; it may be its greeting.

        Raises:
            WorkerError: the worker reports that it cannot start.
        """
        if self._ready:
            return True
        try:
            hello = receive(self.connection)
        except (EOFError, OSError):
            return True
        if "error" in hello:
            raise WorkerError(f"a worker cannot start: {hello['error']}")
        self._ready = True
        self._starts_that_failed = 0
        self._seen = (self.item, time.monotonic())
        return False

    def answer(self) -> dict[str, Any] | None:
        """Return the answer to the oldest request, or ``None`` if the worker is gone.

        Raises:
            WorkerError: the worker reports an error that a retry would meet again.
        """
        try:
            answer = receive(self.connection)
        except (EOFError, OSError):
            return None
        if "error" in answer:
            raise WorkerError(f"a worker reports: {answer['error']}")
        output = self._awaited.popleft()
        if "reports" in answer:
            answer["total"] = output
        return answer

    def hung(self) -> bool:
        """Say whether the worker has been at the same item for longer than the limit."""
        item, since = self._seen
        if item != self.item:
            self._seen = (self.item, time.monotonic())
            return False
        longest = limits.TASK_SECONDS if self._ready else limits.WORKER_START_SECONDS
        return time.monotonic() - since > longest

    def kill(self) -> None:
        """End the worker at once."""
        self._process.kill()

    def restart(self) -> None:
        """Replace a dead worker by a new one."""
        self.stop()
        if not self._ready:
            self._starts_that_failed += 1
        if self._starts_that_failed >= limits.TASK_DEATHS:
            code = self._process.returncode
            raise WorkerError(
                f"worker processes end before they are ready (exit status {code}): see their messages above"
            )
        self._start()

    def close(self) -> None:
        """End the worker for good."""
        self.stop()
        for file in self._own:
            file.close()

    def stop(self) -> None:
        """Close the socket and wait for the process, which ends by itself, or is ended."""
        self.connection.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "fedscale.execute.worker", str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno(), *(file.fileno() for file in self._files.values())],
            stdin=subprocess.DEVNULL,
            env={**_environment(), **({} if self.seat is None else self.seat.environment)},
            process_group=0,  # Ctrl-C is for the server's process, which decides when to stop
        )
        theirs.close()
        self.connection = Connection(ours.detach())
        self._counter[0] = -1
        self._ready = False
        self._awaited.clear()
        self._seen = (-1, time.monotonic())
        send(self.connection, self._hello)


def _environment() -> dict[str, str]:
    """Return the environment of a worker: one thread in every numerical library, and memory that stays at hand."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**HEAP, **os.environ, **threads, "PYTHONPATH": path}
