"""`.skeleton` recordings to normalised clips: the work that `preprocess` gives to its processes.

It stands alone so that a process starts in a tenth of a second: no pandas here.
"""

from dataclasses import dataclass

from action_indrnn.data_prep import bodies, layout, skeleton_file
from action_indrnn.data_prep.bodies import Dropped
from action_indrnn.data_prep.clip import Clip, ClipError
from action_indrnn.data_prep.normalize import View, normalize
from action_indrnn.data_prep.sources import Source


@dataclass(frozen=True)
class Skipped:
    """Why a recording cannot become a clip."""

    reason: str


Outcome = tuple[Clip, list[Dropped]] | Skipped


def prepare(chunk: list[Source], layout_name: str, view: View) -> list[Outcome]:
    """The outcome of each recording."""
    joint_layout = layout.load(layout_name)
    outcomes: list[Outcome] = []
    for source in chunk:
        try:
            recording = skeleton_file.parse(source.read(), str(source))
            clip, dropped = bodies.choose(recording, joint_layout)
            outcomes.append((normalize(clip, joint_layout, view), dropped))
        except ClipError as error:
            outcomes.append(Skipped(str(error)))
        except OSError as error:
            outcomes.append(Skipped(f"{source}: cannot be read: {error.strerror or error}"))
    return outcomes
