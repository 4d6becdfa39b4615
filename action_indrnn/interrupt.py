"""Ctrl-C and termination as a question that a long run answers when its work is safe."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from action_indrnn import processes


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """An event that Ctrl-C or a termination signal sets; a second Ctrl-C interrupts at once.

    Among several processes it does not: the terminal and torchrun each pass on one and the same Ctrl-C.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: object) -> None:
        stop.set()
        if processes.count() == 1:
            signal.signal(signal.SIGINT, previous[signal.SIGINT])

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
