"""One front door to single clips: `.skeleton`, `.npy`, `.npz`, `.csv`, `.json`, `.jsonl`, `.bvh`."""

import re
from dataclasses import replace
from pathlib import PurePosixPath

from action_indrnn.data_prep import bvh, clip_arrays, clip_text, layout, points, recordings, skeleton_file
from action_indrnn.data_prep.bodies import Dropped
from action_indrnn.data_prep.clip import Clip, ClipError
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.normalize import View
from action_indrnn.data_prep.points import Points
from action_indrnn.data_prep.sources import Source

_TEXTS = {
    ".csv": clip_text.read_csv,
    ".json": clip_text.read_json,
    ".jsonl": clip_text.read_json_lines,
    ".bvh": bvh.read,
}
SUFFIXES = (".skeleton", ".npy", ".npz", *_TEXTS)
_MOST_PIECES = 3_000_000  # of a text; each takes some hundred bytes of memory
LIST = "clips.csv"  # of a folder of clips, and no clip
WANTED = re.compile(
    rf"(?!(?:.*/)?{re.escape(LIST)}$).*(?:{'|'.join(map(re.escape, SUFFIXES))})", re.IGNORECASE | re.DOTALL
)


def read(
    source: Source,
    wanted: Layout,
    recorded: Layout | None = None,
    *,
    name: str = "",
    recipe: str = "tracks",
    view: View = "camera",
) -> tuple[Clip, list[Dropped]]:
    """The clip in a file, in metres with y up, not yet normalised, and the bodies left out.

    Args:
        source: the file; its suffix says how it is read.
        wanted: the joints of the clip.
        recorded: the joints, unit and axes of the file, where these are others; a `.skeleton` file knows its
            own.
        name: the clip's; the file's without folder and suffix where none is given.
        recipe: how the actors of a `.skeleton` file are chosen; see `recordings.choose`.
        view: the same.

    Raises:
        ClipError: damaged, or not of these joints; names file and line or field.
        OSError: cannot be read.
    """
    place = PurePosixPath(source.member or source.path.as_posix())
    suffix = place.suffix.lower()
    if suffix == ".skeleton":
        clip, dropped = _skeleton(source, wanted, recipe, view)
        return replace(clip, name=name or clip.name), dropped
    return points.to_clip(_points(source, name or place.stem, suffix), recorded or wanted, wanted)


def _skeleton(source: Source, wanted: Layout, recipe: str, view: View) -> tuple[Clip, list[Dropped]]:
    """The clip of a `.skeleton` file."""
    own = layout.load("ntu25")
    if wanted.joints != own.joints:
        try:
            layout.order(own.joints, wanted, str(source))
        except ValueError as error:
            raise ClipError(str(error)) from error
        raise ClipError(f"{source}: expected the joints of {wanted.name} in its order, found those of ntu25")
    return recordings.choose(skeleton_file.parse(source.read(), str(source)), wanted, recipe, view)


def _points(source: Source, name: str, suffix: str) -> Points:
    where = str(source)
    if suffix == ".npy":
        return Points(name, where, clip_arrays.npy(source.read(), where))
    if suffix == ".npz":
        return Points(name, where, *clip_arrays.npz(source.read(), where))
    if suffix not in _TEXTS:
        raise ClipError(f"{source}: expected a file {', '.join(SUFFIXES)}, found '{suffix}'")
    content = source.read()
    for pieces, what in (
        (content.count(b"\n"), "lines"),
        (content.count(b"[") + content.count(b"{"), "lists"),
    ):
        if pieces > _MOST_PIECES:
            raise ClipError(f"{source}: expected at most {_MOST_PIECES} {what} in a clip, found {pieces}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ClipError(f"{source}: expected text in UTF-8, found byte {error.start} is none") from error
    return Points(name, where, *_TEXTS[suffix](text, where), spare=suffix == ".bvh")
