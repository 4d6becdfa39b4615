"""The recogniser: a model file that classifies recordings."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from action_indrnn import checkpoint, evaluation, step, streaming
from action_indrnn.checkpoint import Card
from action_indrnn.data_prep import clip_file, posture
from action_indrnn.data_prep import layout as layouts
from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.normalize import check_causal, normalize
from action_indrnn.data_prep.sources import Source
from action_indrnn.dataset import Clips
from action_indrnn.models import Classifier
from action_indrnn.step import Step
from action_indrnn.streaming import Stream, Streams


@dataclass(frozen=True)
class Verdict:
    """What the recogniser says of a clip.

    Attributes:
        name: the clip's.
        classes: K class names.
        probabilities: (K,) float64, summing to 1.
    """

    name: str
    classes: Sequence[str]
    probabilities: NDArray[np.float64]

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The k most probable classes with their probabilities, the most probable first."""
        order = np.argsort(-self.probabilities, kind="stable")[:k]
        return [(self.classes[label], float(self.probabilities[label])) for label in order]


class Recognizer:
    """Classifies clips with the weights, the normalisation and the sampling of a model file.

    It takes the evaluation's own road, so a clip gets the probabilities that an evaluation gives it.
    """

    def __init__(self, model: Classifier, card: Card) -> None:
        self.model = model
        self.card = card

    @classmethod
    def load(cls, model_file: str | Path, device: str | torch.device = "cpu") -> "Recognizer":
        """The recogniser of a model file.

        Raises:
            ValueError: not a model file.
        """
        return cls(*checkpoint.load_model(model_file, device))

    def read(self, source: Source | str | Path, recorded: Layout | None = None) -> Clip:
        """The clip in a file, its actors chosen, in the model's joints, not yet normalised.

        Args:
            source: a `.skeleton` file or another that `data_prep.clip_file` reads.
            recorded: the file's joint layout, where it is not the model's but has a map to it.

        Raises:
            ClipError: the file is no such recording, of other joints, or a `.skeleton` recording for a model
                of clips that were made elsewhere; names file and line or field.
            OSError: it cannot be read.
        """
        if not isinstance(source, Source):
            source = Source(Path(source))
        card = self.card
        return clip_file.read(source, card.layout(), recorded, recipe=card.recipe, view=card.view)[0]

    def doubts(self, clip: Clip) -> list[str]:
        """What looks wrong with a clip, in words: left and right swapped, heads below hips."""
        return [posture.CURES[doubt] for doubt in posture.doubts(clip, self.card.layout())]

    def classify(self, clip: Clip | str | Path) -> Verdict:
        """The verdict on one clip, or on a file that `read` knows.

        Args:
            clip: joints in metres on the recording's frames, normalised or not; of the model's joint layout.

        Raises:
            ValueError: the joints do not fit the model; or see `read`.

        >>> recognizer = Recognizer.load("run/model.safetensors")
        >>> verdict = recognizer.classify("raw/S001C001P001R001A001.skeleton")
        >>> len(verdict.probabilities)
        14
        """
        clip = clip if isinstance(clip, Clip) else self.read(clip)
        return self.classify_all([clip])[0]

    def classify_all(self, clips: Sequence[Clip]) -> list[Verdict]:
        """The verdicts on several clips, in batches."""
        expected = (len(self.card.layout().joints), 3)
        for clip in clips:
            if clip.joints.shape[2:] != expected:
                raise ValueError(
                    f"{clip.name}: expected {expected[0]} joints of {expected[1]} coordinates, "
                    f"found {clip.joints.shape[2]} of {clip.joints.shape[3]}"
                )
        settings = self.card.config
        layout = self.card.layout()
        store = self.shown(Clips.of_clips([normalize(clip, layout, self.card.view) for clip in clips]))
        logits = evaluation.judged(self.model, store, np.arange(len(clips)), settings, layout)
        return [
            Verdict(clip.name, self.card.classes, row)
            for clip, row in zip(clips, evaluation.probabilities(logits), strict=True)
        ]

    def shown(self, clips: Clips) -> Clips:
        """Normalised clips as the network sees them."""
        settings = self.card.config
        second = self.card.view if settings.evaluate.exchange else None
        return clips.shown_as(settings.data, self.card.layout(), second, self.card.actors)

    @cached_property
    def step(self) -> Step:
        """One frame of the network; all streams share it.

        Raises:
            ValueError: the network or the model's view needs the whole clip.
        """
        check_causal(self.card.view)
        return step.of(self.model)

    def stream(self, layout: Layout | str | None = None, **settings: Any) -> Stream:
        """A new stream, which answers after every frame; see `streaming.Stream.feed`.

        Args:
            layout: of the frames, with their unit and axes: a value, a shipped name, or a `.toml` file; the
                model's joints in metres, y up, if not given.
            settings: of `streaming.Settings`; the duration is that of the training clips if not given.

        Raises:
            ValueError: the network needs the whole clip, a setting is out of range, or the layout has no map
                to the model's.
        """
        recorded = layouts.find(layout) if isinstance(layout, str) else layout
        return Stream(self.step, self.card, streaming.settings_for(self.card, **settings), recorded)

    def streams(self, layout: Layout | str | None = None, **settings: Any) -> Streams:
        """Many streams, stepped together; see `stream`."""
        recorded = layouts.find(layout) if isinstance(layout, str) else layout
        return Streams(self.step, self.card, streaming.settings_for(self.card, **settings), recorded)
