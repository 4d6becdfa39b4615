"""The settings of a run: what a configuration file may say."""

import importlib.resources
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from action_indrnn.config_file import ConfigError, dump, read
from action_indrnn.networks import OR_NONE, Count, Model, Positive, Probability, Section

__all__ = [
    "TASK_PREFIX",
    "Config",
    "ConfigError",
    "Data",
    "Evaluate",
    "Percent",
    "Published",
    "StreamName",
    "Train",
    "dump",
    "load",
    "names",
]

Percent = Annotated[float, Field(ge=0, le=100)]

StreamName = Literal["joint", "bone", "distance", "motion", "bone-motion", "distance-motion"]


class Data(Section):
    """What a clip becomes.

    Attributes:
        frames: number of frames sampled from a clip.
        sampling: which frames: one of each of as many "segments", as published, which shows a clip of fewer
            than twice `frames` in part; or the "whole" clip in even steps, with frames made between the
            recorded ones where there are too few; or "every" frame, for a network that detects actions in
            untrimmed recordings: it has one output more, for frames without an action, learns each frame's
            class from pieces of `frames` of clips and pauses after one another, and from the set's untrimmed
            recordings, and answers for a clip by the mean over its frames.
        align: whether every clip is turned and scaled until the main actor, when first seen, faces the camera
            in the size of all; see `data_prep.normalize.alignment`.
        facing: whether it is turned on, step by step, until the main actor faces the camera in the mean of
            all steps so far, and in training by up to `rotation` at random; see `facing.Facing`.
        hold: whether a body that is not seen for a while stays where it was seen last; without it nobody is
            there meanwhile, whom the network gets as zeros.
        follow: with "every" frame, seconds in which the place, direction and size that a body is seen from
            follow it; see `data_prep.following`.
        pause: with "every" frame, mean seconds between the clips.
        frames_deviation: standard deviation of that number, which is then drawn anew for every batch and, in
            a test, every pass; see `dataset.draw_frames`.
        rotation: largest angle about each axis by which a clip in training is turned at random, degrees.
        scaling: largest share by which a clip in training is made larger or smaller at random.
        shear: largest shift, in metres a metre, by which a clip in training is sheared at random.
        mirror: share of the clips in training that are mirrored, left and right swapped; none where the
            layout has no pairs. See `mirror_images` for what class they are then of.
        crop: smallest share of a clip's frames, in a row, that training samples from; 1 for all.
        speed: a clip in training is played up to 1 + speed times faster or slower.
        noise: standard deviation of the noise on every coordinate in training, metres.
        joint_dropout: share of a clip's joints that training does not see.
        graft: share of the bodies in training of which a limb moves as in another training clip of the class;
            see `augment.graft`.
        exchange: share of the clips of two people in training in which the second one is the main actor, whom
            `align` and the set's view go by.
        displacement: share of the bodies in training of which some joints, with all that hangs on them, stand
            off by the same way throughout the clip; see `augment.displace`.
        glitch: share of the bodies in training that have a joint, with all that hangs on it, somewhere else
            for a part of the clip; see `augment.glitch`.
        absence: share of the clips in training in which nobody, or one of several bodies less, is seen for a
            part of the clip; see `augment.absence`.
        body_dropout: share of the clips of several bodies from which training leaves one out.
        splice: share of the clips that training sees behind the end of another, as a stream's window does.
        streams: what the network gets of a frame, beside each other; see `streams`.
    """

    frames: Count = 20
    sampling: Literal["segments", "whole", "every"] = "segments"
    align: bool = False
    facing: bool = False
    hold: bool = False
    follow: Positive = 1.0
    pause: Positive = 1.0
    frames_deviation: Annotated[float, Field(ge=0)] = 0.0
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    scaling: Probability = 0.0
    shear: Probability = 0.0
    mirror: Annotated[float, Field(ge=0, le=1)] = 0.0
    crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    speed: Annotated[float, Field(ge=0, le=3)] = 0.0
    noise: Probability = 0.0
    joint_dropout: Probability = 0.0
    graft: Annotated[float, Field(ge=0, le=1)] = 0.0
    exchange: Annotated[float, Field(ge=0, le=1)] = 0.0
    displacement: Annotated[float, Field(ge=0, le=1)] = 0.0
    glitch: Annotated[float, Field(ge=0, le=1)] = 0.0
    absence: Annotated[float, Field(ge=0, le=1)] = 0.0
    body_dropout: Probability = 0.0
    splice: Annotated[float, Field(ge=0, le=1)] = 0.0
    streams: Annotated[tuple[StreamName, ...], Field(min_length=1, strict=False)] = ("joint",)

    @model_validator(mode="after")
    def _fits(self) -> "Data":
        if self.sampling == "whole" and self.speed:
            raise ValueError(
                f"sampling 'whole' gives every clip as many steps and expects speed 0, found {self.speed:g}"
            )
        if self.sampling == "every":
            alone = (
                ("align", False),
                ("hold", False),
                ("crop", 1),
                ("graft", 0),
                ("exchange", 0),
                ("splice", 0),
                ("frames_deviation", 0),
            )
            for name, expected in alone:
                if (found := getattr(self, name)) != expected:
                    raise ValueError(f"sampling 'every' expects {name} {expected}, found {found}")
        return self


class Train(Section):
    """How the weights are found.

    Attributes:
        batch: clips in a batch.
        learning_rate: of Adam, at the start.
        weight_decay: L2 penalty on the weights of linear layers.
        gradient_clip: largest absolute value of a gradient's element.
        patience: the learning rate drops at the second validation beyond so many that were not better.
        learning_rate_drop: factor of a drop.
        learning_rate_min: training ends when the learning rate falls below it.
        max_epochs: training ends after so many epochs; none, or the text "none", sets no limit.
        min_steps: with it max_epochs is raised, where a set is so small that it would be fewer steps.
        validation: what is held out of the training split to choose the epoch by, whole subjects or random
            clips; with "none" all of it trains, and the last epoch's weights are taken.
        validation_share: share of the training split that is held out.
        validation_passes: random samplings of every clip in a validation.
        seed: of weights, held-out part, sampling and dropout.
        schedule: how the learning rate falls: by "steps" when validation is no longer better, as published,
            or along a "cosine" from learning_rate to learning_rate_min over max_epochs.
        warm_up: epochs in which the learning rate rises in a straight line, step by step.
        label_smoothing: share of the target that is spread evenly over all classes.
        weight_average: decay of a moving average of the weights, which is then what is validated, measured
            and saved; 0 for none.
        accumulate: parts that a batch is computed in, one after the other, to save memory; the statistics of
            batch normalisation are a part's.
        precision: of matrix products in training; "bfloat16" keeps weights, recurrences, normalisation and
            all evaluation in float32.
        compile: train the network compiled by torch.compile, which needs a C++ compiler.
    """

    batch: Count = 128
    learning_rate: Positive = 2e-4
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    gradient_clip: Positive = 10.0
    patience: Count = 100
    learning_rate_drop: Annotated[float, Field(gt=0, lt=1)] = 0.1
    learning_rate_min: Positive = 1e-6
    max_epochs: Annotated[Count | None, OR_NONE] = None
    min_steps: Annotated[int, Field(ge=0)] = 0
    validation: Literal["subjects", "clips", "none"] = "subjects"
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.05
    validation_passes: Count = 5
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    schedule: Literal["steps", "cosine"] = "steps"
    warm_up: Annotated[int, Field(ge=0)] = 0
    label_smoothing: Probability = 0.0
    weight_average: Probability = 0.0
    accumulate: Count = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False

    @model_validator(mode="after")
    def _fits(self) -> "Train":
        if self.schedule == "cosine" and self.max_epochs is None:
            raise ValueError("schedule 'cosine' expects a number of max_epochs, found none")
        if self.validation == "none" and self.schedule != "cosine":
            raise ValueError(f"validation 'none' expects schedule 'cosine', found '{self.schedule}'")
        if self.schedule == "cosine" and self.learning_rate_min > self.learning_rate:
            raise ValueError(
                f"schedule 'cosine' expects learning_rate_min <= learning_rate {self.learning_rate:g}, "
                f"found {self.learning_rate_min:g}"
            )
        if self.min_steps and self.max_epochs is None:
            raise ValueError(f"min_steps {self.min_steps} expects a number of max_epochs, found none")
        if self.max_epochs is not None and self.warm_up > self.max_epochs:
            raise ValueError(f"warm_up expects at most max_epochs {self.max_epochs}, found {self.warm_up}")
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate expects a divisor of batch {self.batch}, found {self.accumulate}")
        return self


class Evaluate(Section):
    """How accuracy is measured.

    Attributes:
        passes: random samplings of every clip whose logits are summed.
        batch: samplings in a batch.
        exchange: whether in every second pass the second of two people is the main actor.
    """

    passes: Count = 20
    batch: Count = 256
    exchange: bool = False


class Published(Section):
    """What was reported with the settings under one protocol, top-1 in percent; for the reader only.

    Attributes:
        dataset, protocol: what it was measured on.
        paper: the paper's figure; theirs come from batch normalisation with the statistics of the test batch.
        log: the figure in the authors' training log with running statistics, as ours are measured.
        measured: ours; none if it has not been run.
        source: of the figures.
        note: what else there is to know.
    """

    dataset: Literal["ntu60", "ntu120"]
    protocol: Literal["xsub", "xview", "xset"]
    paper: Percent | None = None
    log: Percent | None = None
    measured: Percent | None = None
    source: str
    note: str = ""


class Config(Section):
    """A whole configuration file.

    Attributes:
        title: in words.
        model: the network.
        beside: a second one, of another kind or size, that learns from the same batches; the answer is the
            mean of both's probabilities.
        data: what a clip becomes.
        train: how the weights are found.
        evaluate: how accuracy is measured.
        published: what was reported with these settings.
    """

    title: str = ""
    model: Annotated[Model, Field(discriminator="kind")]
    beside: Annotated[Annotated[Model, Field(discriminator="kind")] | None, OR_NONE] = None
    data: Data = Data()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    published: Annotated[tuple[Published, ...], Field(strict=False)] = ()

    @property
    def networks(self) -> dict[str, Model]:
        """The network, and the one beside it if there is one, by the names of their tables."""
        return {"model": self.model} | ({} if self.beside is None else {"beside": self.beside})

    @property
    def kind(self) -> str:
        """The kind of network, or both kinds, in words."""
        return " and ".join(network.kind for network in self.networks.values())

    @property
    def detects(self) -> bool:
        """Whether the network tells frames of actions from frames without one."""
        return self.data.sampling == "every"

    @property
    def exchanges(self) -> bool:
        """Whether the second of two people is ever the main actor."""
        return self.data.exchange > 0 or self.evaluate.exchange

    def outputs(self, classes: int) -> int:
        """How many logits there are for so many classes; the one for no action, if any, is the last."""
        return classes + self.detects

    @model_validator(mode="after")
    def _answers_every_frame(self) -> "Config":
        for name, network in self.networks.items():
            if self.detects and (network.pooling != "last" or network.bidirectional):
                raise ValueError(
                    f"data.sampling 'every' expects {name}.pooling 'last' and {name}.bidirectional false: "
                    "every frame is answered"
                )
        if self.detects and self.evaluate.exchange:
            raise ValueError("data.sampling 'every' expects evaluate.exchange false: there are no passes")
        if self.beside is not None and self.beside.members > 1:
            raise ValueError(f"beside.members: expected 1, found {self.beside.members}; only model has it")
        return self


TASK_PREFIX = "task_"  # the name of a configuration for another task than action recognition begins so


def names(*, tasks: bool = False) -> list[str]:
    """Returns the names of the shipped configurations: for action recognition, or for the other tasks."""
    files = importlib.resources.files("action_indrnn.configs").iterdir()
    every = sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))
    return [name for name in every if name.startswith(TASK_PREFIX) == tasks]


def load(name_or_path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Returns a shipped configuration, or the one in a .toml file.

    Args:
        name_or_path: a name in `names()`, or a path (anything that ends in .toml or has a folder in it).
        overrides: settings that replace the file's, as in "train.batch=64"; the value is read as TOML, and as
            bare text where it is none.

    Raises:
        ConfigError: a missing or malformed file, or unknown keys and wrong values: all of them, a line each.
    """
    return read(Config, names(), name_or_path, overrides)
