import asyncio

import pytest

from action_indrnn.guard import Guard, Message, Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"in"})


def ask(kind: str = "http", **headers: str) -> list[Message]:
    """What is sent to a request to a server of the name own.example."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": f"{kind}.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(Guard(app, "own.example")({"type": kind, "headers": given}, receive, send))
    return sent


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8000",
        "127.0.0.1",
        "localhost:1",
        "LOCALHOST",
        "[::1]:8000",
        "[::1]",
        "192.168.1.7:80",
        "own.example",
        "own.example:8000",
    ],
)
def test_a_request_to_this_machine_passes(host: str) -> None:
    start, body = ask(Host=host)
    headers = dict(start["headers"])
    assert (start["status"], body["body"]) == (200, b"in")
    assert ask(Host=host, Origin=f"http://{host}")[0]["status"] == 200
    policy = headers[b"content-security-policy"].decode()
    assert policy.startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in policy
    assert headers[b"cross-origin-resource-policy"] == b"same-origin"


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "evil.example"},
        {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"},  # rebound to 127.0.0.1
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "127.0.0.1:x"},
        {"Host": "[::1%; script-src *]"},
        {"Host": "127.0.0.1:8000", "Origin": "http://evil.example"},
        {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:9000"},
        {"Host": "127.0.0.1:8000", "Origin": "null"},
        {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000.evil.example"},
    ],
)
def test_foreign_hosts_and_origins_end_here(kind: str, headers: dict[str, str]) -> None:
    first, *rest = ask(kind, **headers)
    whose = "Origin" if headers.get("Host", "") == "127.0.0.1:8000" else "Host"
    if kind == "websocket":
        assert first["type"] == "websocket.close"
        assert first["reason"].startswith(f"{whose}: expected")
    else:
        assert first["status"] == 403
        assert rest[0]["body"].startswith(f"{whose}: expected".encode())
