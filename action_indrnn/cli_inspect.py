"""The command `inspect`: what is in raw data, a prepared set, a recording or a model file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from action_indrnn.data_prep.clip import Clip
    from action_indrnn.data_prep.layout import Layout
    from action_indrnn.picture import Film

MODEL = ".safetensors"
_ARRAYS = ("joints", "names", "label", "x_train", "y_train", "x_test", "y_test")
PICTURES = (".png", ".svg", ".gif")


def inspect(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="Raw data of any kind that preprocess takes, a prepared set, a clip file, a model file.",
        ),
    ],
    read: Annotated[
        bool,
        typer.Option("--read", help="Look into every raw recording, not only at names, sizes and lists."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with whole lists.")] = False,
    clip: Annotated[str, typer.Option(metavar="NAME", help="A clip of a prepared set, to draw.")] = "",
    recorded: Annotated[
        str,
        typer.Option(
            "--layout",
            metavar="LAYOUT",
            help="The joints of a clip file that is not .skeleton: a shipped name or a .toml.",
        ),
    ] = "",
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw a clip: .png or .svg a filmstrip, .gif moving; needs matplotlib."
        ),
    ] = None,
    frames: Annotated[int, typer.Option(min=2, max=60, help="Pictures in a filmstrip.")] = 8,
    augmentations: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Draw a clip under each augmentation, a .png each, there."),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes for --read; 0 for one a core.")] = 0,
) -> None:
    """Say what is in raw data, a prepared set, a recording or a model file, and what is wrong with it."""
    if picture and (picture.suffix not in PICTURES or not picture.parent.is_dir()):
        raise ValueError(f"{picture}: expected {', '.join(PICTURES)} in a folder that exists")
    report = _report(path, recorded, read, workers)
    if as_json:
        import json

        print(json.dumps(_finite(report)))
    else:
        from action_indrnn import inspection

        print(inspection.as_text(report))
    if picture or augmentations:
        film, joint_layout, chosen = _film(path, clip, recorded)
    if picture:
        from action_indrnn import picture as drawing

        if picture.suffix == ".gif":
            drawing.animation(film, joint_layout, picture)
        else:
            drawing.filmstrip([film], joint_layout, picture, count=frames)
    if augmentations:
        from action_indrnn import gallery

        gallery.write(chosen, joint_layout, augmentations)
    if report["kind"] == "prepared set" and report["problems"]:
        raise typer.Exit(1)


def _report(path: Path, recorded: str, read: bool, workers: int) -> dict[str, Any]:
    from action_indrnn import clip_report, inspection, source_report
    from action_indrnn.data_prep import archive, clip_file, recognition, survey

    if path.is_file() and path.suffix == MODEL:
        from action_indrnn import memory

        return memory.model_report(str(path))
    stray = ""
    if (path / archive.META_FILE).is_file():
        try:
            return inspection.set_report(path)
        except ValueError as error:
            if not survey.survey(path).recordings:
                raise
            stray = f"not read as a prepared set: {error}"
    if path.is_file() and path.suffix.lower() == ".skeleton":
        return clip_report.of_recording(path)
    name = recognition.of_path(path)
    if not name and path.is_file() and path.suffix.lower() in clip_file.SUFFIXES:
        return clip_report.of_points(path, _layout(path, recorded))
    found = survey.survey(path)
    known = [] if name else recognition.below(found)
    if not found.recordings and not found.others and [one.path for one in known] == [path]:
        name = known[0].name
    if name:
        try:
            return source_report.report(found, name, read=read)
        except (ValueError, OSError) as error:
            if path.is_file() or not found.recordings:
                raise
            stray = f"not read as {name}: {error}"
    if stray:  # a file of another kind's name among recordings
        found.problems.append(stray)
    return inspection.raw_report(found, known, read=read, workers=workers)


def _layout(path: Path, name: str) -> "Layout":
    from action_indrnn.data_prep import layout

    if not name:
        if path.suffix.lower() == ".npz":
            _check_names(path)
        expected = f"--layout with one of {', '.join(layout.shipped())} or a .toml"
        raise ValueError(f"{path}: expected {expected}, which says what its joints are; found none")
    return layout.find(name)


def _check_names(path: Path) -> None:
    """Raises ValueError where an `.npz` is no archive, or its arrays are nearly called as those of a set."""
    from action_indrnn.data_prep import clip_arrays, spelling

    names = list(clip_arrays.heads(path, str(path)))
    for meant in ("joints", "label", "x_train", "y_train"):
        like = "" if meant in names else spelling.nearest(meant, names)
        if like and like not in _ARRAYS:
            found = f"found {', '.join(names)}; is '{like}' meant to be '{meant}'?"
            raise ValueError(f"{path}: expected arrays of names that are known, {found}")


def _film(path: Path, name: str, recorded: str) -> "tuple[Film, Layout, Clip]":
    """What is drawn, its joints, and the clip: a recording's actors, or a clip of a prepared set."""
    from action_indrnn.data_prep import archive, bodies, clip_file, layout, skeleton_file
    from action_indrnn.data_prep.sources import Source
    from action_indrnn.picture import Film

    if (path / archive.META_FILE).is_file():
        prepared = archive.read(path)
        found = [number for number, known in enumerate(prepared.index["name"]) if known == name]
        if not found:
            raise ValueError(
                f"{path}: expected --clip with one of its {len(prepared.index):,} names, found '{name}'"
            )
        chosen = prepared.clip(found[0])
        title = f"{name}  {prepared.classes[int(prepared.index['label'][found[0]])]}"
        return Film.of_clip(chosen, title), layout.from_table(prepared.meta["layout"], str(path)), chosen
    if path.suffix.lower() not in clip_file.SUFFIXES:
        raise ValueError(f"{path}: expected a clip file, or a prepared set and --clip, to draw")
    if path.suffix.lower() != ".skeleton":
        joint_layout = _layout(path, recorded)
        chosen, _ = clip_file.read(Source(path), joint_layout)
        return Film.of_clip(chosen, chosen.name), joint_layout, chosen
    recording = skeleton_file.read(path)
    joint_layout = layout.load("ntu25")
    chosen, _ = bodies.choose(recording, joint_layout)
    return Film.of_clip(chosen, recording.name, recording), joint_layout, chosen


def _finite(value: Any) -> Any:
    """The value with None where JSON has no number: infinite and undefined ones."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
