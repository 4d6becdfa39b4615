"""A server in a thread, and what its tests say to it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse

import numpy as np
from websockets.sync.client import ClientConnection, connect

from action_indrnn import server, sockets
from action_indrnn.frame_lines import LINE_LIMIT
from action_indrnn.guard import App
from action_indrnn.recognizer import Recognizer
from action_indrnn.server import Limits

from .conftest import person

SECONDS = 10  # that anything may take


def application(network: Recognizer, **limits: object) -> App:
    return server.application(network, network.stream, Limits(**limits))


@contextmanager
def running(app: App) -> Iterator[int]:
    """The port of an application that is served meanwhile."""
    with sockets.listen("127.0.0.1", 0) as place:
        one = sockets.server(app, LINE_LIMIT)
        thread = threading.Thread(target=one.run, kwargs={"sockets": [place]})
        thread.start()
        until = time.monotonic() + SECONDS
        while not one.started and thread.is_alive():
            assert time.monotonic() < until
            time.sleep(0.005)
        try:
            yield place.getsockname()[1]
        finally:
            one.should_exit = True
            thread.join(SECONDS)
            assert not thread.is_alive()


def ask(
    port: int, path: str, body: bytes | None = None, method: str = "", **headers: str
) -> tuple[HTTPResponse, bytes]:
    """The answer to a request and its body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def join(port: int, path: str = "/live", **more: object) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{port}{path}", open_timeout=SECONDS, close_timeout=1, **more)


def line(bodies: dict[int | str, np.ndarray] | None = None, **more: object) -> str:
    bodies = {1: person()} if bodies is None else bodies
    rows = [{"id": name, "joints": joints.tolist()} for name, joints in bodies.items()]
    return json.dumps({**more, "bodies": rows})


def tell(socket: ClientConnection, text: str) -> dict:
    """The answer to a line."""
    socket.send(text)
    return hear(socket)


def hear(socket: ClientConnection) -> dict:
    return json.loads(socket.recv(SECONDS))
