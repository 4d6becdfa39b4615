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
class Skipped:
    """Why a recording cannot become a clip."""

    reason: str


Outcome = tuple[Clip, list[Dropped]] | Skipped


def choose(recording: Recording, joint_layout: Layout, recipe: Recipe) -> tuple[Clip, list[Dropped]]:
    """The clip of a recording's actors and the bodies left out.

    Args:
        recording: what stands in the file.
        joint_layout: its joints.
        recipe: "tracks" is ours, see `bodies`; "ctr-gcn" is that of SGN's and CTR-GCN's scripts, see
            `ctr_gcn`, and translates.

    Raises:
        ClipError: no actor.
    """
    if recipe == "ctr-gcn":
        return ctr_gcn.choose(recording, joint_layout)
    return bodies.choose(recording, joint_layout)


def prepare(chunk: list[Source], layout_name: str, view: View, recipe: Recipe) -> list[Outcome]:
    """The outcome of each recording."""
    joint_layout = layout.load(layout_name)
    outcomes: list[Outcome] = []
    for source in chunk:
        try:
            recording = skeleton_file.parse(source.read(), str(source))
            clip, dropped = choose(recording, joint_layout, recipe)
            outcomes.append((clip if recipe == "ctr-gcn" else normalize(clip, joint_layout, view), dropped))
        except ClipError as error:
            outcomes.append(Skipped(str(error)))
        except OSError as error:
            outcomes.append(Skipped(f"{source}: cannot be read: {error.strerror or error}"))
    return outcomes
