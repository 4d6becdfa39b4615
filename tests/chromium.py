"""Headless Chromium by its DevTools protocol, with nothing but `websockets`."""

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

SECONDS = 20  # that anything may take
BLOCKED = "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"  # every name but the server's own


def binary() -> str:
    """Where Chromium is; the test skips without one, unless CHROMIUM names it."""
    named = os.environ.get("CHROMIUM")
    if named:
        assert Path(named).exists(), f"CHROMIUM: expected a browser, found nothing at '{named}'"
        return named
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return found or pytest.skip("needs Chromium: apt-get install chromium")


class Tab:
    """One tab of a browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.number = 0
        self.events: list[dict[str, Any]] = []
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol; its result."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(SECONDS))
            if message.get("id") == self.number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self.events.append(message)

    def open(self, url: str) -> None:
        """Load a page and wait until it says that it is ready."""
        self.call("Page.navigate", url=url)
        self.wait("document.body && document.body.dataset.ready === 'yes'")

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition: str) -> Any:
        """Wait until an expression holds; its value."""
        until = time.monotonic() + SECONDS
        while not (found := self.value(condition)):
            assert time.monotonic() < until, f"did not come: {condition}; {self.text('#problem')}"
            time.sleep(0.02)
        return found

    def text(self, selector: str) -> str:
        """The text of an element."""
        return self.value(f"document.querySelector({json.dumps(selector)})?.textContent.trim()")

    def key(self, key: str, shift: bool = False) -> None:
        """Press a key."""
        codes = {" ": 32, "ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, "Tab": 9}
        given = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0), "modifiers": 8 if shift else 0}
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **given, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **given)

    def choose(self, selector: str, file: Path) -> None:
        """Choose a file in an input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file)], nodeId=node)

    def drop(self, file: Path) -> None:
        """Drop a file on the page."""
        text = base64.b64encode(file.read_bytes()).decode()
        self.value(
            f"(() => {{ const bytes = Uint8Array.from(atob({json.dumps(text)}), (c) => c.charCodeAt(0));"
            f"const data = new DataTransfer(); data.items.add(new File([bytes], {json.dumps(file.name)}));"
            "document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true})); })()"
        )

    def size(self, width: int, height: int, scale: float = 1, phone: bool = False) -> None:
        """Set the size of the window."""
        given = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **given)

    def screenshot(self, file: Path) -> None:
        """Write a .png of what is on the screen."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def complaints(self) -> list[str]:
        """What the browser complained of: errors, uncaught exceptions, broken policies."""
        self.call("Runtime.evaluate", expression="1")
        found = []
        for event in self.events:
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(event["params"]["exceptionDetails"])[:500])
            elif event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] != "verbose":
                found.append(event["params"]["entry"]["text"] + event["params"]["entry"].get("url", ""))
            elif event["method"] == "Runtime.consoleAPICalled":
                found.append(json.dumps(event["params"]["args"])[:500])
        return found

    def requested(self) -> list[str]:
        """Every address that was asked for."""
        return [
            event["params"].get("request", event["params"]).get("url")
            for event in self.events
            if event["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated")
        ]


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """A tab of a browser that reaches nothing but 127.0.0.1."""
    command = [
        binary(),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--remote-debugging-port=0",
        "--remote-allow-origins=*",
        f"--user-data-dir={profile}",
        f"--host-resolver-rules={BLOCKED}",
        "about:blank",
    ]
    with (profile.parent / "chromium.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        place = profile / "DevToolsActivePort"
        until = time.monotonic() + SECONDS
        while not (place.exists() and place.read_text().count("\n")):
            assert time.monotonic() < until, (profile.parent / "chromium.log").read_text()[-2000:]
            assert process.poll() is None, (profile.parent / "chromium.log").read_text()[-2000:]
            time.sleep(0.02)
        port = place.read_text().splitlines()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=SECONDS) as answer:
            pages = [one for one in json.load(answer) if one["type"] == "page"]
        with connect(pages[0]["webSocketDebuggerUrl"], max_size=None, compression=None) as socket:
            yield Tab(socket)
    finally:
        process.terminate()
        process.wait(SECONDS)
