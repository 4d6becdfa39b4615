"""`.skeleton` recordings to normalised clips: the work that `preprocess` gives to its processes.

It stands alone so that a process starts in a tenth of a second: no pandas here.
"""

from dataclasses import dataclass
from typing import Literal

from action_indrnn.data_prep import bodies, ctr_gcn, layout, skeleton_file
from action_indrnn.data_prep.bodies import Dropped
from action_indrnn.data_prep.clip import Clip, ClipError
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.normalize import View, normalize
from action_indrnn.data_prep.skeleton_file import Recording
from action_indrnn.data_prep.sources import Source

Recipe = Literal["tracks", "ctr-gcn"]


@dataclass(frozen=True)
class Outcome:
    """What becomes of one recording, which may lie at several places.

    Attributes:
        clip: of the first place that gives one, with the bodies left out; None where none does.
        skipped: the other places and why nothing was taken from there.
    """

    clip: tuple[Clip, list[Dropped]] | None
    skipped: list[tuple[Source, str]]


def choose(
    recording: Recording, joint_layout: Layout, recipe: str, view: View = "camera"
) -> tuple[Clip, list[Dropped]]:
    """The clip of a recording's actors and the bodies left out.

    Args:
        recording: what stands in the file.
        joint_layout: its joints.
        recipe: "tracks" is ours, see `bodies`; "ctr-gcn" is that of SGN's and CTR-GCN's scripts, see
            `ctr_gcn`, and translates.
        view: of which "raw" alone matters here: then "ctr-gcn" does not translate.

    Raises:
        ClipError: no actor, or the recipe is that of files which were made elsewhere.
    """
    if recipe == "tracks":
        return bodies.choose(recording, joint_layout)
    if recipe != "ctr-gcn":
        raise ClipError(
            f"{recording.source}: expected a clip made as the model's were ('{recipe}'), found a .skeleton "
            "recording, of which 'tracks' or 'ctr-gcn' makes clips; joints as .npy or .json are taken"
        )
    if view == "raw":
        return ctr_gcn.untranslated(recording)
    return ctr_gcn.choose(recording, joint_layout)


def prepare(chunk: list[tuple[Source, ...]], layout_name: str, view: View, recipe: Recipe) -> list[Outcome]:
    """The outcome of each recording, given by the places where it lies; a damaged copy hides no good one."""
    joint_layout = layout.load(layout_name)
    return [_prepare(places, joint_layout, view, recipe) for places in chunk]


def _prepare(places: tuple[Source, ...], joint_layout: Layout, view: View, recipe: Recipe) -> Outcome:
    skipped: list[tuple[Source, str]] = []
    for number, source in enumerate(places):
        try:
            recording = skeleton_file.parse(source.read(), str(source))
            clip, dropped = choose(recording, joint_layout, recipe, view)
        except ClipError as error:
            skipped.append((source, str(error)))
        except OSError as error:
            skipped.append((source, f"{source}: cannot be read: {error.strerror or error}"))
        else:
            clip = clip if recipe == "ctr-gcn" else normalize(clip, joint_layout, view)
            skipped += [
                (copy, f"{copy}: expected each clip once, found it in {source} too")
                for copy in places[number + 1 :]
            ]
            return Outcome((clip, dropped), skipped)
    return Outcome(None, skipped)
