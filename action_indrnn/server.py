"""The page to watch a model at work: its files, what it asks for, and the live streams behind it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from typing import Any, cast

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from action_indrnn import clip_page, frame_lines
from action_indrnn.checkpoint import Card
from action_indrnn.data_prep import clip_file
from action_indrnn.data_prep import layout as layouts
from action_indrnn.data_prep.layout import Layout
from action_indrnn.guard import App, Guard
from action_indrnn.live import LimitError, Live, worker
from action_indrnn.recognizer import Recognizer
from action_indrnn.streaming import Stream

FILES = {
    "page.html": "text/html",
    "page.css": "text/css",
    "page.svg": "image/svg+xml",
    "page.js": "text/javascript",
    "page_scene.js": "text/javascript",
    "page_chart.js": "text/javascript",
    "page_live.js": "text/javascript",
    "page_shown.js": "text/javascript",
    "page_watch.js": "text/javascript",
}
BODY_SECONDS = 60.0  # until an upload is there
SEND_SECONDS = 10.0  # that a message may wait for a peer that does not read
UPLOADS = 4  # at once; their bytes are in memory
TRY_LATER, REFUSED, TOO_LONG_QUIET = 1013, 1008, 1001  # websocket close codes
REASON = 100  # bytes of why a websocket is closed; its frame holds 123


@dataclass(frozen=True)
class Limits:
    """What a server takes at most.

    Attributes:
        streams: live streams at once.
        watchers: pages that watch live streams at once.
        idle: seconds without a frame after which a live stream is closed.
        upload: bytes of a clip file.
    """

    streams: int = 32
    watchers: int = 16
    idle: float = 60.0
    upload: int = 16 * 2**20

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("streams", "watchers", "idle", "upload"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected a number above 0, found {getattr(self, name)}")


def application(
    recognizer: Recognizer,
    fresh: Callable[[Layout | None], Stream],
    limits: Limits,
    *,
    recorded: Layout | None = None,
    rate: float = 30.0,
    host: str = "127.0.0.1",
) -> App:
    """The application.

    Args:
        recognizer: of the model.
        fresh: makes a stream of frames in a layout; raises ValueError where the network needs the whole clip.
        limits: what is taken at most.
        recorded: joint layout of clip files and live frames, where it is not the model's.
        rate: frames a second of clip files.
        host: a name that requests may call the server by, beside numbers and localhost.
    """
    live = Live(recognizer, fresh, limits.streams, limits.watchers)
    uploads = asyncio.Semaphore(UPLOADS)
    clips = worker("clips")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        live.shut()
        clips.shutdown(wait=True, cancel_futures=True)

    app = FastAPI(openapi_url=None, lifespan=lifespan)
    folder = resources.files("action_indrnn")
    files = {name: folder.joinpath(name).read_bytes() for name in FILES}
    described = describe(recognizer.card, recognizer.model.causal, rate, limits)

    @app.get("/")
    @app.get("/{name}")
    async def page(name: str = "page.html") -> Response:
        if name not in files:
            return _problem(404, f"{name[:100]}: expected one of {', '.join(files)}")
        return Response(files[name], media_type=FILES[name])

    @app.get("/api/model")
    async def model() -> Response:
        return JSONResponse(described)

    @app.post("/api/clip")
    async def clip(request: Request, name: str) -> Response:
        if uploads.locked():
            return _problem(503, f"expected at most {UPLOADS} uploads at once, found more; try later")
        async with uploads:
            try:
                content = await asyncio.wait_for(_body(request, name, limits.upload), BODY_SECONDS)
                source = clip_page.upload(name, content)
                work = asyncio.get_running_loop().run_in_executor(
                    clips, _as_json, recognizer, source, recorded, rate
                )
                return Response(await work, media_type="application/json")
            except TimeoutError:
                return _problem(408, f"{name[:100]}: expected the file within {BODY_SECONDS:g} seconds")
            except ClientDisconnect:
                return _problem(400, f"{name[:100]}: expected the whole file, found a part")
            except ValueError as error:
                return _problem(413 if isinstance(error, LimitError) else 422, str(error))

    @app.websocket("/live")
    async def produce(socket: WebSocket, name: str = "", top: int = 3, layout: str = "") -> None:
        await socket.accept()
        try:
            producer = live.open(name, max(1, top), live_layout(recognizer.card, recorded, layout))
        except ValueError as error:
            code = TRY_LATER if isinstance(error, LimitError) else REFUSED
            await _end(socket, code, {"field": "", "error": str(error)})
            return
        reason = "the producer has gone"
        try:
            while True:
                message = await asyncio.wait_for(socket.receive(), limits.idle)
                if message["type"] == "websocket.disconnect":
                    return
                line = message.get("text") or message.get("bytes") or ""
                text = await live.answer(producer, line)
                await asyncio.wait_for(socket.send_text(text), SEND_SECONDS)
        except TimeoutError:
            reason = f"no frame for {limits.idle:g} seconds, or answers not read"
            await _end(socket, TOO_LONG_QUIET, {"field": "", "error": reason})
        except WebSocketDisconnect:
            return
        finally:
            live.close(producer, reason)

    @app.websocket("/watch")
    async def watch(socket: WebSocket) -> None:
        await socket.accept()
        try:
            watcher = live.watch()
        except LimitError as error:
            await _end(socket, TRY_LATER, {"error": str(error)})
            return

        async def send() -> None:
            while True:
                await asyncio.wait_for(socket.send_text(await watcher.next()), SEND_SECONDS)

        async def gone() -> None:
            while (await socket.receive())["type"] != "websocket.disconnect":
                pass

        tasks = [asyncio.create_task(send()), asyncio.create_task(gone())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            live.leave(watcher)
            for task in tasks:
                task.cancel()
            for found in await asyncio.gather(*tasks, return_exceptions=True):
                if not isinstance(found, asyncio.CancelledError | TimeoutError | WebSocketDisconnect | None):
                    raise found

    return Guard(cast(App, app), host)


def live_layout(card: Card, recorded: Layout | None, name: str) -> Layout | None:
    """The layout of live frames; none for the model's joints in metres, y up.

    Args:
        card: of the model.
        recorded: the server's own, if it has one.
        name: what a sender asks for, "model" for the latter; the server's if empty. Never a file.

    Raises:
        ValueError: no such layout is shipped.
    """
    if name == "model":
        return None
    own = recorded or card.layout()
    if name and name != own.name:
        return layouts.load(name)
    return None if recorded is None and own.is_metres_y_up else own


def describe(card: Card, causal: bool, rate: float, limits: Limits) -> dict[str, Any]:
    """What the page has to know of a model, as JSON's types."""
    layout = card.layout()
    sides = ["middle"] * len(layout.joints)
    for left, right in layout.pairs:
        sides[left], sides[right] = "left", "right"
    return {
        "classes": list(card.classes),
        "model": card.config.kind,
        "dataset": card.dataset,
        "protocol": card.protocol,
        "causal": causal,
        "detects": card.config.detects,
        "layout": {
            "name": layout.name,
            "joints": list(layout.joints),
            "bones": [list(bone) for bone in layout.bones],
            "sides": sides,
            "centre": layout.centre,
        },
        "rate": rate,
        "files": list(clip_file.SUFFIXES),
        "upload": limits.upload,
        "line": frame_lines.LINE_LIMIT,
    }


def _as_json(recognizer: Recognizer, source: clip_page.Upload, recorded: Layout | None, rate: float) -> bytes:
    return json.dumps(clip_page.table(recognizer, source, recorded, rate), allow_nan=False).encode()


async def _body(request: Request, name: str, limit: int) -> bytes:
    """The bytes of an upload.

    Raises:
        LimitError: too many.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise LimitError(f"{name[:100]}: expected at most {limit:,} bytes, found more")
        parts.append(part)
    return b"".join(parts)


def _problem(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)


def _reason(text: str) -> str:
    """The text, or its words as far as they fit into the frame that closes a websocket."""
    if len(text.encode()) <= REASON:
        return text
    part = text.encode()[:REASON].decode(errors="ignore")
    return (part.rpartition(" ")[0] or part).rstrip(",;:") + " ..."


async def _end(socket: WebSocket, code: int, table: dict[str, Any]) -> None:
    """Send a last word to a peer who may have gone, and close."""
    try:
        await asyncio.wait_for(socket.send_text(json.dumps(table)), SEND_SECONDS)
        await asyncio.wait_for(socket.close(code, _reason(table["error"])), SEND_SECONDS)
    except (TimeoutError, WebSocketDisconnect):
        return
