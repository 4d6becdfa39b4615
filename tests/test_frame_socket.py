import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from action_indrnn import frame_socket
from action_indrnn.dialogue import Dialogue
from action_indrnn.frame_socket import Server
from action_indrnn.recognizer import Recognizer

from .conftest import person
from .test_frame_lines import line
from .test_streaming import recognizer


@pytest.fixture(scope="module")
def network() -> Recognizer:
    return recognizer()


@contextmanager
def serving(network: Recognizer) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), lambda: Dialogue(network, network.stream(), 1)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Peer:
    """The other side of a connection."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(server.server_address, timeout=10)
        self.file = self.socket.makefile("rwb")

    def ask(self, text: bytes) -> dict:
        self.file.write(text)
        self.file.flush()
        return json.loads(self.file.readline())

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def test_connections_have_streams_of_their_own(network: Recognizer) -> None:
    with serving(network) as server:
        one, other = Peer(server), Peer(server)
        for turn in range(3):
            assert one.ask(line({5: person()}))["frame"] == turn
        assert other.ask(line({5: person()}))["frame"] == 0
        one.file.write(b'{"bodies": [')  # half a frame, then gone
        one.file.flush()
        one.close()
        assert other.ask(line({5: person()}))["frame"] == 1
        other.close()


KILLED = """
import socket, sys, time
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
for _ in range(200):
    peer.sendall(sys.argv[2].encode() + b"\\n")  # and never reads an answer
print("sent", flush=True)
time.sleep(60)
"""


def test_the_others_go_on_when_one_is_killed(network: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_socket, "CONNECTIONS", 2)
    with serving(network) as server:
        other = Peer(server)
        assert other.ask(line({5: person()}))["frame"] == 0
        port = str(server.server_address[1])
        command = [sys.executable, "-c", KILLED, port, line({1: person()}).decode().strip()]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"sent\n"
            process.kill()
        assert other.ask(line({5: person()}))["frame"] == 1
        for _ in range(500):  # its place is free again, once the server has noticed
            late = Peer(server)
            if late.ask(line({5: person()})).get("frame") == 0:
                break
            late.close()
            time.sleep(0.01)
        else:
            pytest.fail("the place of the killed one was never free")
        late.close()
        other.close()


def test_a_silent_connection_is_closed_and_too_many_are_told(
    network: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_socket, "CONNECTIONS", 1)
    monkeypatch.setattr(frame_socket, "IDLE", 0.5)
    with serving(network) as server:
        silent = Peer(server)
        assert silent.ask(line({5: person()}))["frame"] == 0
        surplus = Peer(server)
        assert "expected at most 1 connections at once" in json.loads(surplus.file.readline())["error"]
        surplus.close()
        assert silent.file.readline() == b""
        silent.close()


def test_a_taken_port_is_told_by_its_address(network: Recognizer) -> None:
    with serving(network) as server:
        host, port = server.server_address
        with pytest.raises(ValueError, match=f"--listen: {host}:{port}: cannot listen there: Address alre"):
            Server((host, port), lambda: Dialogue(network, network.stream(), 1))
