"""The commands that use a model: on recordings, on live frames; everything heavy is imported inside them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from action_indrnn.options import DeviceName as Device
from action_indrnn.options import ModelFile, Threads
from action_indrnn.options import device as _device


def classify(
    model: ModelFile,
    clip: Annotated[
        list[Path],
        typer.Argument(
            metavar="CLIP...", help=".skeleton, .npy, .npz, .csv, .json, .jsonl, .bvh files; folders, zips."
        ),
    ],
    recorded: Annotated[
        str,
        typer.Option(
            "--layout",
            metavar="LAYOUT",
            help="The clips' joint layout, where it is not the model's: a shipped name or a .toml.",
        ),
    ] = "",
    top: Annotated[int, typer.Option(min=1, help="How many actions to print.")] = 5,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a clip, with all classes.")
    ] = False,
    device: Device = "cpu",
    threads: Threads = 1,
) -> None:
    """Say which action a recording shows."""
    import json

    from action_indrnn.data_prep import clip_file, layout, sources
    from action_indrnn.data_prep.clip import ClipError

    found = sources.find(clip, clip_file.WANTED, ", ".join(clip_file.SUFFIXES))
    joint_layout = layout.find(recorded) if recorded else None
    target = _device(device, threads)

    from action_indrnn.recognizer import Recognizer

    recognizer = Recognizer.load(model, target)
    failed = False
    for source in found:
        try:
            one = recognizer.read(source, joint_layout)
            verdict = recognizer.classify(one)
        except (ClipError, OSError) as error:
            failed = True
            print(f"action-indrnn: {error}", file=sys.stderr)
            if as_json:
                print(json.dumps({"source": str(source), "error": str(error)}), flush=True)
            continue
        for doubt in recognizer.doubts(one):
            print(f"action-indrnn: warning: {source}: {doubt}", file=sys.stderr)
        if as_json:
            actions = [
                {"action": name, "probability": share} for name, share in verdict.top(len(verdict.classes))
            ]
            print(json.dumps({"source": str(source), "name": verdict.name, "actions": actions}), flush=True)
        else:
            print(source)
            for name, share in verdict.top(top):
                print(f"  {share:6.1%}  {name}", flush=True)
    if failed:
        raise typer.Exit(1)


def stream(
    model: ModelFile,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Answer on a socket, a stream a connection.")
    ] = "",
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Answer to the frames of a clip file, and in the end to the whole clip."
        ),
    ] = None,
    recorded: Annotated[
        str,
        typer.Option(
            "--layout",
            metavar="LAYOUT",
            help="The frames' joint layout, where it is not the model's: a shipped name or a .toml.",
        ),
    ] = "",
    speed: Annotated[
        float, typer.Option(min=0, help="Of a replay, times the frame rate; 0 for as fast as possible.")
    ] = 1.0,
    top: Annotated[int, typer.Option(min=1, help="How many actions to name.")] = 3,
    rate: Annotated[float, typer.Option(help="Frames a second of the camera.")] = 30.0,
    duration: Annotated[
        float | None,
        typer.Option(help="Seconds of an action; the median of the model's training clips if not given."),
    ] = None,
    windows: Annotated[
        int | None,
        typer.Option(min=1, help="Staggered windows, 2 if not given; a network that detects has none."),
    ] = None,
    people: Annotated[int, typer.Option(min=1, help="Most persons followed at once.")] = 4,
    threshold: Annotated[
        float | None,
        typer.Option(help="Probability from which on an action begins; as the other three, the model's own."),
    ] = None,
    release: Annotated[float | None, typer.Option(help="Probability under which it ends.")] = None,
    smoothing: Annotated[
        float | None, typer.Option(help="Seconds over which probabilities are smoothed.")
    ] = None,
    hold: Annotated[
        float | None, typer.Option(help="Seconds over the threshold before an action begins.")
    ] = None,
    threads: Threads = 1,
) -> None:
    """Answer after every frame: JSON Lines in, JSON Lines out.

    A frame is one line, with the joints in the order, unit and axes of the layout: of NTU's, metres, y up.
    The time stamp in seconds may be missing. Every line gets one line back at once. A line that is no frame
    gets one with "error", and the stream goes on. Between {"clip": "begin"} and {"clip": "end"} frames are
    kept, and the end is answered with what classify says of them as one clip.

    \b
    Replay a recording, or pipe frames in (made up here):
      action-indrnn stream MODEL --replay clip.skeleton --speed 0
    \b
      python -c 'import json; [print(json.dumps({"time": t / 30, "bodies": [
        {"id": 1, "joints": [[0.01 * j, 0.06 * j, 3] for j in range(25)]}]}),
        flush=True) for t in range(60)]' | action-indrnn stream MODEL
    """  # noqa: D301  # typer wants a real backspace: these lines are not to be wrapped
    if listen and replay:
        raise typer.BadParameter("expected one of --listen and --replay, found both")
    _device("cpu", threads)
    from threading import Lock

    from action_indrnn import dialogue, frame_socket
    from action_indrnn.data_prep import layout
    from action_indrnn.data_prep.sources import Source
    from action_indrnn.dialogue import Dialogue
    from action_indrnn.recognizer import Recognizer
    from action_indrnn.streaming import Stream

    place = frame_socket.address(listen) if listen else None
    joint_layout = layout.find(recorded) if recorded else None
    recognizer = Recognizer.load(model)
    rule = recognizer.card.decides().but(smoothing=smoothing, threshold=threshold, release=release, hold=hold)
    asked = {"duration": duration, "windows": windows}
    given = {name: value for name, value in asked.items() if value is not None}
    lock = Lock()

    def stream_of(frames: layout.Layout | None) -> Stream:
        return recognizer.stream(frames, rate=rate, people=people, rule=rule, **given)

    def fresh() -> Dialogue:
        own = recognizer.card.layout()
        frames = joint_layout or (None if own.is_metres_y_up else own)
        return Dialogue(recognizer, stream_of(frames), top, lock)

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    first = stream_of(None)
    if not first.step.fast:
        print(f"action-indrnn: note: a frame goes through {first.step.way}", file=sys.stderr)
    try:
        if replay is not None:
            dialogue.replay(recognizer, Source(replay), joint_layout, write, first, top, speed)
        elif place is not None:
            fresh()  # a layout that does not fit is told before anybody comes
            with frame_socket.Server(place, fresh) as server:
                print(f"listening on {place[0]}:{server.server_address[1]}", flush=True)
                server.serve_forever()
        elif dialogue.answer(sys.stdin.buffer, write, fresh()):
            raise typer.Exit(1)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def export(
    model: ModelFile,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file, new, OUT.onnx.")],
) -> None:
    """Write one frame's step as ONNX: features and state in, logits and state out, for any batch."""
    if out.exists() or not out.parent.is_dir():
        raise ValueError(f"{out}: expected a new file in a folder that exists")

    from action_indrnn import checkpoint, onnx_step

    network, card = checkpoint.load_model(model)
    difference, frames = onnx_step.export(network, card, out)
    print(f"exported      {out}: features (B, {card.features}) and a state to logits and a state")
    print(
        f"checked       {frames} frames in a chain, in onnxruntime, batches of "
        f"{' and '.join(map(str, onnx_step.BATCHES))}; relative difference {difference:.1e}"
    )
