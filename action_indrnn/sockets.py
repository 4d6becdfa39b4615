"""The sockets of a server, bounded: their number, the time that they may take, what a message may hold."""

import asyncio
import socket
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from action_indrnn.guard import App

CONNECTIONS = 256  # sockets at once, of any kind; one more is closed
HEAD_SECONDS = 10.0  # until a request's head is there
LIFE_SECONDS = 120.0  # from then until its answer has been read
CLOSE_SECONDS = 1.0  # that a closed websocket waits for its peer to agree
PARTS = 1024  # of a message; empty ones would not count towards its size


class _Connection(H11Protocol):
    """One socket: closed where there are too many, where no request comes or nobody reads its answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
            return
        self.loop.call_later(HEAD_SECONDS, self._check)
        self.loop.call_later(LIFE_SECONDS, self._end)

    def _check(self) -> None:
        if cast(object, self.cycle) is None:
            self._end()

    def _end(self) -> None:
        if self in self.connections:  # and has not become a websocket
            self.transport.abort()


class _Socket(WebSocketsSansIOProtocol):
    """A websocket: closed for good soon after it was closed, and where a message has too many parts."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.close_timeout = CLOSE_SECONDS

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        if len(self.frames) > PARTS:
            self.transport.abort()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        ValueError: the address is taken, or none of this machine.
    """
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=CONNECTIONS
        )
    except OSError as error:
        raise ValueError(f"{host}:{port}: cannot listen there: {error.strerror or error}") from error


def server(app: App, longest: int) -> uvicorn.Server:
    """The server of an application; `run(sockets=[listen(...)])` serves.

    Args:
        app: the application.
        longest: bytes of a message on a websocket.
    """
    return uvicorn.Server(
        uvicorn.Config(
            cast(Any, app),
            http=_Connection,
            ws=_Socket,
            ws_max_size=longest,
            ws_per_message_deflate=False,
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
    )
