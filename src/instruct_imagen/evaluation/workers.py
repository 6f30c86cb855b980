"""Processes that share out a list of tasks: results do not depend on their number."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from instruct_imagen.evaluation.case import EvaluationError

_LAST_SECONDS = 10.0

Work = Callable[[Any], Any]
"""Does a task."""


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def done(open_work: Callable[[], Work], tasks: Sequence[Any], workers: int) -> Iterator[Any]:
    """The result of each task, in any order.

    Args:
        open_work: Gives what does the tasks; called once in each process, so it can be sent to
            others (a function of a module, or a `functools.partial` of one).
        tasks: Whatever can be sent.
        workers: Processes at most; 1 works in this one. They share the cores.

    Raises:
        EvaluationError: A worker ended before its work, or could not begin.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        work = open_work() if tasks else None
        for task in tasks:
            yield work(task)
        return
    # Not forked: a child of a process whose torch has threads may hang.
    context = multiprocessing.get_context("spawn")
    threads = max(1, cores() // workers)
    processes: dict[Connection, Any] = {}
    # Ctrl-C reaches the parent alone, which ends its workers; they inherit what is blocked.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        try:
            for _ in range(workers):
                own, other = context.Pipe()
                process = context.Process(target=_serve, args=(other, threads), daemon=True)
                process.start()
                other.close()
                processes[own] = process
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for own in processes:
            with suppress(BrokenPipeError):  # it has ended; why is found out below
                own.send(open_work)
        yield from _shared_out(processes, list(tasks))
        for own in processes:
            own.close()  # then they end by themselves, and tidy up
        for process in processes.values():
            process.join(_LAST_SECONDS)
    finally:
        for process in processes.values():
            process.terminate()
            process.join()


def _shared_out(processes: dict[Connection, Any], tasks: list[Any]) -> Iterator[Any]:
    """Gives each process its next task when it asks for one."""
    waiting = tasks[::-1]
    left = len(tasks)
    while left:
        for ready in wait(list(processes)):
            try:
                kind, result = ready.recv()  # type: ignore[union-attr]
                if kind == "failed":
                    raise EvaluationError(result)
                if waiting:
                    ready.send(waiting.pop())  # type: ignore[union-attr]
            except (EOFError, ConnectionResetError, BrokenPipeError):
                process = processes[ready]  # type: ignore[index]
                process.join()
                raise EvaluationError(
                    f"a worker ended with status {process.exitcode}: run the same command again, "
                    "it goes on (-9 is often too little memory: fewer --workers)"
                ) from None
            if kind == "done":
                left -= 1
                yield result


def _serve(connection: Connection, threads: int) -> None:
    """One process: is told what to do, and does tasks until it is ended."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    open_work = connection.recv()
    try:
        work = open_work()
        _tell(connection, ("ready", None))
        while True:
            _tell(connection, ("done", work(connection.recv())))
    except EOFError:
        return
    except Exception as error:  # whatever it is, the parent has to tell the user
        connection.send(("failed", f"a worker failed: {type(error).__name__}: {error}"))


def _tell(connection: Connection, message: tuple[str, Any]) -> None:
    """Sends a message; EOFError where nobody listens any more, since others have done it all."""
    try:
        connection.send(message)
    except (BrokenPipeError, ConnectionResetError):
        raise EOFError from None


def _end_with_parent() -> None:
    """Ends this process when its parent was killed: the next run is alone in the folder."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
