"""Work on several cores: bounded memory, no orphans, no traceback on Ctrl-C."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered_map(work: Callable[[Task], Result], tasks: Sequence[Task], processes: int) -> Generator[Result]:
    """The result of each task, in order; at most two tasks a process are under way.

    Args:
        work: a function that can be pickled, or a `functools.partial` of one.
        tasks: its arguments; each should be worth some milliseconds.
        processes: 1 works in this process.

    Raises:
        OSError: a process of the pool was killed.
    """
    if processes < 2:
        yield from map(work, tasks)
        return
    under_way: deque[Future[Result]] = deque()
    with _executor(processes) as pool:
        for task in tasks:
            if len(under_way) == 2 * processes:
                yield under_way.popleft().result()
            under_way.append(_submitted(pool, work, task))
        while under_way:
            yield under_way.popleft().result()


def finished_first(
    work: Callable[[Task], Result], tasks: Iterable[Task], processes: int
) -> Generator[tuple[Task, Result]]:
    """Each task with its result, as they are finished; a process gets a task when it has none.

    So no task waits in a process: whoever stops early, as on Ctrl-C, stops when those under way end.

    Args:
        work: a function that can be pickled, or a `functools.partial` of one.
        tasks: its arguments; the next is taken when a process is free for it.
        processes: 1 works in this process.

    Raises:
        OSError: a process of the pool was killed.
    """
    if processes < 2:
        yield from ((task, work(task)) for task in tasks)
        return
    under_way: dict[Future[Result], Task] = {}
    with _executor(processes) as pool:
        for task in tasks:
            under_way[_submitted(pool, work, task)] = task
            while len(under_way) == processes:
                yield from _done(under_way)
        while under_way:
            yield from _done(under_way)


def _done(under_way: dict[Future[Result], Task]) -> Iterator[tuple[Task, Result]]:
    """The tasks that are finished first, taken out of those under way, with their results."""
    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
        yield under_way.pop(future), future.result()


@contextmanager
def _executor(processes: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent) as pool:
        try:
            yield pool
        except BrokenProcessPool as error:
            raise OSError(
                "a process was killed, perhaps for want of memory; fewer --workers may help"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _submitted(pool: ProcessPoolExecutor, work: Callable[[Task], Result], task: Task) -> Future[Result]:
    with _interrupts_ignored():  # the processes start with the first task and inherit this
        return pool.submit(work, task)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ignore Ctrl-C, which reaches every process of a terminal: this one alone decides what it means."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _end_with_parent() -> None:
    """Let this process end when its parent is killed: an idle pool process would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("expected to run in a pool's process")

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
