"""Floods a server and says what that does to its memory and to a stream beside; for docs/serve.md:

python -m tests.server_flood demo/xsub/demo/model.safetensors
"""

import json
import os
import resource
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection

from .serving import SECONDS, hear, join, line, tell
from .test_server import head

BLOCK = 65_536  # bytes
FRAMES = 120  # of the stream beside, 60 a second


def main(model: str) -> None:
    """Print one line a flood."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    command = [sys.executable, "-m", "action_indrnn", "serve", model, "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().strip().rstrip("/").rpartition(":")[2])
        try:
            with join(port) as beside:

                def say(what: str) -> None:
                    memory = Path(f"/proc/{process.pid}/status").read_text().partition("VmRSS:")[2].split()[0]
                    print(f"{what:<70} {int(memory) // 1024:4} MiB  {beat(beside)}", flush=True)

                beat(beside)
                say("before")
                say(f"1 GiB as one message: closed after {gigabyte(port, parts=False):.1f} MiB")
                say(f"1 GiB in parts of 64 KiB: closed after {gigabyte(port, parts=True):.1f} MiB")
                with ExitStack() as stack:
                    for _ in range(1000):
                        stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=SECONDS))
                    time.sleep(0.5)
                    held = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
                    say(f"1,000 silent sockets; the server has {held} files and sockets open")
                    time.sleep(11)
                    held = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
                    say(f"11 seconds later; {held}")
                with ExitStack() as stack:
                    say(f"1,000 websockets; {websockets(port, stack)} have a stream")
        finally:
            process.terminate()
            process.wait(30)


def beat(stream: ClientConnection) -> str:
    """How fast a stream of 60 frames a second is answered."""
    found = []
    for _ in range(FRAMES):
        start = time.perf_counter()
        assert "frame" in tell(stream, line())
        found.append(1000 * (time.perf_counter() - start))
        time.sleep(max(0.0, start + 1 / 60 - time.perf_counter()))
    return f"median {sorted(found)[FRAMES // 2]:.1f} ms, slowest {max(found):.1f} ms"


def gigabyte(port: int, *, parts: bool) -> float:
    """MiB that could be sent of a line of 1 GiB."""
    sent = 0
    with join(port) as one:
        try:
            for number in range(2**30 // BLOCK):
                size, opcode = (BLOCK, 0 if number else 1) if parts else (2**30, 1)
                before = head(size, opcode, not parts) if parts or not number else b""
                one.socket.sendall(before + b" " * BLOCK)
                sent += BLOCK
        except OSError:
            return sent / 2**20
    raise AssertionError("took it all")


def websockets(port: int, stack: ExitStack) -> int:
    """How many of 1,000 websockets get a stream."""
    held = 0
    for _ in range(1000):
        try:
            one = stack.enter_context(join(port))
            one.send(line())
            held += "frame" in hear(one)
        except (OSError, WebSocketException, json.JSONDecodeError):
            continue
    return held


if __name__ == "__main__":
    main(sys.argv[1])
