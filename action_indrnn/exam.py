"""A model before the test clips of a protocol."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from action_indrnn import evaluation, mirror_images, over_time, splits
from action_indrnn.data_prep import archive
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.dataset import Clips, Integers
from action_indrnn.detection import Detection
from action_indrnn.evaluation import Report
from action_indrnn.faults import Faults
from action_indrnn.over_time import Early
from action_indrnn.recognizer import Recognizer
from action_indrnn.splits import Split


@dataclass(frozen=True)
class Exam:
    """A model, a set that fits it, and the clips to measure it on.

    Attributes:
        recognizer: the model and its card.
        prepared: the set.
        clips: all of the set; those of the test with faults, where they are asked for.
        labels: the class of every clip.
        split: of the protocol.
    """

    recognizer: Recognizer
    prepared: PreparedSet
    clips: Clips
    labels: Integers
    split: Split

    @classmethod
    def of(
        cls,
        model: str | Path,
        prepared_set: str | Path | PreparedSet,
        protocol: str,
        *,
        faults: Faults | None = None,
        allow_overlap: bool = False,
        device: str | torch.device = "cpu",
    ) -> "Exam":
        """The exam of a model file on a prepared set.

        Args:
            model: the model file.
            prepared_set: the set, or its folder.
            protocol: one of the set's, or a rule.
            faults: what is otherwise in the test clips' recordings, if anything.
            allow_overlap: also where the model has trained on test clips.
            device: where the network runs.

        Raises:
            ValueError: they do not fit each other, or the model has trained on test clips.
        """
        prepared = prepared_set if isinstance(prepared_set, PreparedSet) else archive.read(prepared_set)
        recognizer = Recognizer.load(model, device)
        card = recognizer.card
        card.check_fit(prepared)
        split = splits.split(prepared, protocol, validation="none")
        if card.dataset == prepared.meta["dataset"] and card.protocol != protocol and not allow_overlap:
            raise ValueError(
                f"{model}: trained under {card.protocol}, whose training clips are among the test clips of "
                f"{protocol}; train under that protocol, or say --allow-overlap"
            )
        clips, labels = Clips.of_set(prepared), prepared.column("label")
        if faults:
            clips = faults.of(clips, split.test, card.layout())
            taught = set(labels[np.concatenate((split.train, split.test))].tolist())
            opposite = np.array(mirror_images.classes_by_name(prepared.classes, taught))
            mirrored = [number for number in split.test if faults.mirrored(clips.names[number])]
            labels[mirrored] = opposite[labels[mirrored]]
        return cls(recognizer, prepared, recognizer.shown(clips), labels, split)

    @property
    def partial(self) -> bool:
        """Whether the set is a part of its data set, so that nothing compares with published accuracies."""
        counts = self.prepared.meta["counts"]
        return bool(counts["clips_of_whole_set"]) and not counts["whole"]

    def report(self, progress: str = "") -> Report:
        """Accuracy on the test clips; `progress` is what a progress bar is called."""
        model, settings = self.recognizer.model, self.recognizer.card.config
        classes, layout = self.prepared.classes, self.recognizer.card.layout()
        return evaluation.measure(
            model, self.clips, self.split.test, self.labels, classes, settings, layout, progress
        )

    def some(self, most: int) -> Integers:
        """The test clips, of more than `most` evenly many left out."""
        test = self.split.test
        chosen: Integers = test[np.linspace(0, len(test) - 1, min(most, len(test))).round().astype(int)]
        return chosen

    def over_time(self, most: int | None = None) -> tuple[Early, list[Detection]]:
        """How soon the test clips are recognised, and decisions on streams of them and on real recordings.

        Args:
            most: of more clips evenly many are left out.

        Raises:
            ValueError: the network needs the whole clip.
        """
        numbers = self.split.test if most is None else self.some(most)
        real = splits.recordings_of(self.prepared, self.split.test)
        return over_time.measure(self.recognizer, self.clips, numbers, self.labels, real)
