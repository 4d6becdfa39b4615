"""The command `serve`: a page to watch a model at work; everything heavy is imported inside it."""

import sys
from ipaddress import ip_address
from typing import Annotated

import typer

from action_indrnn.options import ModelFile, Threads
from action_indrnn.options import device as _device


def serve(
    model: ModelFile,
    host: Annotated[
        str, typer.Option(help="Where to listen; anything but 127.0.0.1 lets others in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    recorded: Annotated[
        str,
        typer.Option(
            "--layout",
            metavar="LAYOUT",
            help="The joint layout of clips and live frames, where it is not the model's.",
        ),
    ] = "",
    rate: Annotated[float, typer.Option(help="Frames a second of clips and of cameras.")] = 30.0,
    duration: Annotated[
        float | None,
        typer.Option(help="Seconds of a live action; the median of the training clips if not given."),
    ] = None,
    people: Annotated[int, typer.Option(min=1, help="Most persons followed at once in a stream.")] = 4,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Probability from which on a live action begins.")
    ] = None,
    streams: Annotated[int, typer.Option(min=1, help="Most live streams at once.")] = 32,
    watchers: Annotated[int, typer.Option(min=1, help="Most pages that watch them at once.")] = 16,
    idle: Annotated[float, typer.Option(help="Seconds without a frame until a stream is closed.")] = 60.0,
    upload: Annotated[int, typer.Option(min=1, max=64, help="Largest clip file, MiB.")] = 16,
    threads: Threads = 1,
) -> None:
    """Show a model at work on a web page: drop a clip, or watch live frames.

    The page needs no network. Live frames are those of `stream`, one a message, to ws://HOST:PORT/live.
    """
    _device("cpu", threads)
    from action_indrnn.data_prep import layout
    from action_indrnn.data_prep.layout import Layout

    try:
        from action_indrnn import server, sockets
    except ImportError as error:
        raise ValueError(
            f"serve needs {error.name}, which is not installed: pip install action-indrnn[serve]"
        ) from error
    from action_indrnn.frame_lines import LINE_LIMIT
    from action_indrnn.recognizer import Recognizer
    from action_indrnn.streaming import Stream

    joint_layout = layout.find(recorded) if recorded else None
    limits = server.Limits(streams, watchers, idle, upload * 2**20)
    given: dict[str, object] = {"rate": rate, "people": people}
    if duration is not None:
        given["duration"] = duration
    recognizer = Recognizer.load(model)
    if threshold is not None:
        given["rule"] = recognizer.card.decides().but(threshold=threshold)

    def fresh(layout: Layout | None) -> Stream:
        return recognizer.stream(layout, **given)

    if recognizer.model.causal:
        fresh(joint_layout)  # a setting out of range is told before anybody comes
    app = server.application(recognizer, fresh, limits, recorded=joint_layout, rate=rate, host=host)
    with sockets.listen(host, port) as place:
        if not _is_loopback(host):
            warning = "anybody who reaches this address can upload clips and watch the streams"
            print(f"action-indrnn: warning: {warning}", file=sys.stderr)
        own, number = place.getsockname()[:2]
        shown = f"[{own}]" if ":" in own else own
        print(f"open          http://{shown}:{number}/", flush=True)
        print(f"live frames   ws://{shown}:{number}/live", flush=True)
        try:
            sockets.server(app, LINE_LIMIT).run(sockets=[place])
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
