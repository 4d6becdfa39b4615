"""Preparing a data set in one call: what the command `preprocess` does; knows no torch."""

from collections.abc import Callable, Sequence
from pathlib import Path

from action_indrnn.data_prep import catalogue, preprocess
from action_indrnn.data_prep.data_set import DataSet
from action_indrnn.data_prep.normalize import View
from action_indrnn.data_prep.preprocess import Summary
from action_indrnn.data_prep.recordings import Recipe


def prepare(
    dataset: str | DataSet,
    raw: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    view: View = "camera",
    recipe: Recipe = "tracks",
    workers: int = 0,
    overwrite: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> Summary:
    """Turn raw recordings into a prepared set; what `action-indrnn preprocess` does.

    Joints are in metres, y up, centred on the main actor's mid-spine in the first frame.

    Args:
        dataset: "ntu60", "ntu120", "sbu", ..., "made", "custom".
        raw: the data set's files, folders or zip archives, one or several.
        out: the prepared set's folder, new.
        view: "camera" keeps the camera's axes; "first-frame" turns every clip about the vertical axis until
            the main actor faces the camera; "raw" keeps the camera as the origin too.
        recipe: "tracks" follows bodies on true frame numbers; "ctr-gcn" makes that project's arrays.
        workers: processes; 0 for one a core.
        overwrite: replace a prepared set at `out`.
        say: is told at the start what a user should know.

    Returns:
        How many clips it holds, what was left out, and the training and test clips of every protocol.

    Raises:
        ValueError: no such data set, nothing usable in `raw`, or `out` is taken.
        OSError: a file cannot be read or written.

    >>> summary = prepare("made", "raw", "set")
    >>> summary.clips
    60
    >>> summary.counts["xsub"]
    (45, 15)
    """
    paths = [Path(path) for path in ([raw] if isinstance(raw, str | Path) else raw)]
    data_set = dataset if isinstance(dataset, DataSet) else catalogue.find(dataset, paths)
    return preprocess.preprocess(
        data_set, paths, Path(out), view=view, recipe=recipe, workers=workers, overwrite=overwrite, say=say
    )
