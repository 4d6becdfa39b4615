"""Who may talk to the page's server, and what the browser may do with its answers.

A server on 127.0.0.1 is open to every page in the user's browser: by a request across sites, or by a domain
name that is rebound to 127.0.0.1. So `Host` must be a number, localhost or the server's own name, and
`Origin`, which browsers send and nobody else has to, must be the server's own.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self' ws://{host} wss://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "connection": "close",  # one request a connection: none waits half-open behind another
}


class Guard:
    """An application before which foreign hosts and origins end, with its headers on every answer.

    Args:
        app: the application.
        host: the server's own name, allowed beside numbers and localhost.
    """

    def __init__(self, app: App, host: str) -> None:
        self.app, self.host = app, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 403."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        given: dict[bytes, list[str]] = {}
        for name, value in scope["headers"]:
            given.setdefault(name.lower(), []).append(value.decode("latin-1"))
        hosts, origins = given.get(b"host", []), given.get(b"origin", [])
        problem = self.problem(hosts, origins)
        if problem:
            await _refuse(scope, receive, send, problem)
            return
        headers = {"content-security-policy": _POLICY.format(host=hosts[0]), **_HEADERS}

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in headers.items()]
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        await self.app(scope, receive, guarded)

    def problem(self, hosts: list[str], origins: list[str]) -> str:
        """What is wrong with a request's headers; empty if nothing is."""
        if len(hosts) != 1 or not _is_own(hosts[0], self.host):
            expected = f"a number, localhost or {self.host}"
            return f"Host: expected {expected}, found {', '.join(hosts)[:100] or 'none'}"
        if origins and (len(origins) > 1 or origins[0] not in (f"http://{hosts[0]}", f"https://{hosts[0]}")):
            return f"Origin: expected that of this page, found {', '.join(origins)[:100]}"
        return ""


def _is_own(given: str, own: str) -> bool:
    """Whether a Host header names this machine in a way that no name server can rebind."""
    name, colon, port = given.rpartition(":")
    if not colon or given.endswith("]"):
        name = given
    elif not (port.isascii() and port.isdigit()):
        return False
    name = name.removeprefix("[").removesuffix("]").lower()
    if name in ("localhost", own.lower()):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return "%" not in name  # behind it ip_address takes anything


async def _refuse(scope: Scope, receive: Receive, send: Send, problem: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": problem})  # before it opens: a 403
        return
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": problem.encode("ascii", "backslashreplace")})
