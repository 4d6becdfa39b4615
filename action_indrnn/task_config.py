"""The settings of the tasks of the IndRNN papers besides action recognition."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from action_indrnn import config, config_file
from action_indrnn.config import TASK_PREFIX, Percent
from action_indrnn.networks import OR_NONE, Count, Dense, Plain, Positive, Probability, Residual, Section

NotNegative = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Limit = Annotated[Count | None, OR_NONE]


class Fit(Section):
    """How the weights are found; all counts are of optimiser steps; the text "none" stands for none.

    Attributes:
        batch: sequences in a batch.
        learning_rate: of Adam, at the start.
        weight_decay: L2 penalty on the weights of linear layers.
        gradient_clip: largest absolute value of a gradient's element; none sets no limit.
        every: steps between two validations, which write the curve.
        patience: the learning rate drops at the second validation beyond so many that were not better, and
            the best weights come back; halves with each drop. none for never.
        drop_every: the learning rate drops after each so many steps, whatever the validations say.
        learning_rate_drop: factor of a drop.
        learning_rate_min: training ends when the learning rate falls below it.
        steps: training ends after so many.
        enough: training ends when a validation's loss is below it.
        seed: of weights, data, dropout and splits.
    """

    batch: Count = 32
    learning_rate: Positive = 2e-4
    weight_decay: NotNegative = 0.0
    gradient_clip: Annotated[Positive | None, OR_NONE] = None
    every: Count = 100
    patience: Limit = None
    drop_every: Limit = None
    learning_rate_drop: Annotated[float, Field(gt=0, lt=1)] = 0.1
    learning_rate_min: Positive = 1e-6
    steps: Limit = None
    enough: NotNegative = 0.0
    seed: Seed = 0


class AddingNet(Section):
    """Two IndRNN layers of `units` units, or one LSTM layer of as many.

    Attributes:
        magnification: largest gradient magnification over the sequence, which bounds |u|.
        deviation: standard deviation of the initial weights between layers.
    """

    kind: Literal["indrnn", "lstm"] = "indrnn"
    units: Count = 128
    magnification: Annotated[float, Field(ge=1)] = 2.0
    deviation: Positive = 1e-3


class AddingData(Section):
    """Fresh sequences of `length` steps.

    Attributes:
        grow_from: steps at the beginning of training; they double, up to `length`, at each validation before
            which the mean training loss was below `grown`. None trains with `length` from the start.
        grown: a mean squared error.
        grown_rate: factor of the learning rate when they double; the longer a sequence, the more a change
            of a weight changes the answer.
        test: sequences of `length` steps in a validation.
    """

    length: Annotated[int, Field(ge=2)] = 1000
    grow_from: Annotated[int | None, Field(ge=2), OR_NONE] = None
    grown: Positive = 0.02
    grown_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    test: Count = 1000


class AddingPublished(Section):
    """Where the settings come from and what was reported with them; for the reader only."""

    source: str
    note: str = ""


class Adding(Section):
    """The adding problem: the sum of the two marked numbers of a long sequence."""

    task: Literal["adding"]
    title: str = ""
    model: AddingNet = AddingNet()
    data: AddingData = AddingData()
    train: Fit = Fit()
    published: AddingPublished | None = None


class MnistData(Section):
    """Digits as sequences of 784 pixels.

    Attributes:
        permuted: whether the pixels come in one random order, the same for all digits.
        permutation_seed: of that order.
        validation: training digits that are held out.
    """

    permuted: bool = False
    permutation_seed: Seed = 0
    validation: Annotated[int, Field(ge=1, lt=60000)] = 3000


class MnistPublished(Section):
    """Where the settings come from and what was reported, accuracy in percent; for the reader only."""

    source: str
    sequential: Percent | None = None
    permuted: Percent | None = None
    note: str = ""


class Mnist(Section):
    """Sequential or permuted MNIST."""

    task: Literal["mnist"]
    title: str = ""
    model: Annotated[Plain | Residual | Dense, Field(discriminator="kind")]
    data: MnistData = MnistData()
    train: Fit = Fit()
    published: MnistPublished | None = None


class Language(Section):
    """What the language models share.

    Attributes:
        embedding: width of the embedding, which is tied to the decoder.
        bound: largest |u|.
        frames: steps with batch statistics of their own.
        small: initial weights of linear layers U(+-sqrt(6 / inputs)) and scales of normalisations 0.1, as
            published for the networks of 2019; else those of all other networks.
        dropout_symbols: share of the symbols whose whole embedding is dropped.
        dropout_input: of the embedding's output.
        dropout_output: of what the decoder reads.
    """

    embedding: Count = 600
    bound: Annotated[float, Field(gt=0, le=1)] = 1.0
    frames: Count = 200
    small: bool = False
    dropout: Probability = 0.25
    dropout_symbols: Probability = 0.0
    dropout_input: Probability = 0.0
    dropout_output: Probability = 0.0


class PlainLanguage(Language):
    """A stack of `layers` recurrent layers of `units` units; `dropout_last` is the last one's dropout."""

    kind: Literal["plain"] = "plain"
    units: Count = 2000
    layers: Count = 6
    dropout_last: Probability = 0.25


class ResidualLanguage(Language):
    """`blocks` residual blocks of two recurrences each, all of `units` units, and one last recurrence.

    Attributes:
        dropout_last: of the last recurrence.
    """

    kind: Literal["residual"] = "residual"
    units: Count = 2000
    blocks: Count = 5
    dropout_last: Probability = 0.25


class DenseLanguage(Language):
    """Dense blocks, `blocks` has the number of layers of each; every layer adds `growth_rate` units."""

    kind: Literal["dense"] = "dense"
    growth_rate: Count = 256
    blocks: Annotated[tuple[Count, ...], Field(min_length=1, strict=False)] = (8, 6, 4)
    dropout_bottleneck: Probability = 0.1
    dropout_transition: Probability = 0.4


LanguageNet = PlainLanguage | ResidualLanguage | DenseLanguage


class PtbData(Section):
    """A text as parallel streams.

    Attributes:
        unit: what a symbol is.
        segment: steps between two updates; the state goes on from one to the next.
        varied: draw a segment's length as N(segment, 5), or with probability 0.05 as N(segment / 2, 5), at
            least 5 and at most 10 more than `segment`.
        offset: an epoch begins at a random symbol below so many of its streams.
        reset: probability that the state is zero before a segment.
        test_batch: streams in a validation and the test; with one, every symbol but the first is predicted.
    """

    unit: Literal["characters", "words"]
    segment: Count = 50
    varied: bool = False
    offset: Annotated[int, Field(ge=0)] = 0
    reset: Annotated[float, Field(ge=0, le=1)] = 0.0
    test_batch: Count = 10


class PtbPublished(Section):
    """Where the settings come from and what was reported, bits a character or perplexity; for the reader."""

    source: str
    bits: Positive | None = None
    perplexity: Positive | None = None
    note: str = ""


class Ptb(Section):
    """Penn Treebank, character by character or word by word."""

    task: Literal["ptb"]
    title: str = ""
    model: Annotated[LanguageNet, Field(discriminator="kind")]
    data: PtbData
    train: Fit = Fit()
    published: PtbPublished | None = None


Task = Adding | Mnist | Ptb
T = TypeVar("T", Adding, Mnist, Ptb)


def names(schema: type[Task]) -> list[str]:
    """Returns the names of the shipped configurations of a task."""
    start = TASK_PREFIX + schema.__name__.lower()
    return [name for name in config.names(tasks=True) if name.startswith(start)]


def load(schema: type[T], name_or_path: str | Path, overrides: Iterable[str] = ()) -> T:
    """Returns a task's shipped configuration, or the one in a .toml file, with overrides as "train.batch=8".

    Raises:
        ConfigError: a missing or malformed file, or unknown keys and wrong values: all of them, a line each.
    """
    return config_file.read(schema, names(schema), name_or_path, overrides)
