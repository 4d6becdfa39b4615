"""Penn Treebank as a language model's text: reading, parallel streams, training with carried state.

Shapes: `T` steps, `B` streams in a batch. Source: Mikolov's preparation of the Penn Treebank; settings of Li
et al., CVPR 2018 and arXiv 1910.06251, as in Sunnydreamrain/IndRNN_pytorch.
"""

import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from action_indrnn.task_config import Ptb, PtbData
from action_indrnn.task_fit import Score, Trainer, fingerprint
from action_indrnn.task_language import LanguageModel, State, detached

END = "<eos>"  # stands for the end of a line
PARTS = ("train", "valid", "test")
_SHORTEST, _DEVIATION, _BEYOND, _HALF = 5, 5.0, 10, 0.05  # of segments of varied length, in steps; a share


class TextError(ValueError):
    """A text that cannot be used; the message names the file."""


@dataclass(frozen=True)
class Corpus:
    """The three parts of the text as numbers of symbols.

    Attributes:
        symbols: all of them, in the order of their numbers.
        train: training text, (number of symbols in it,).
        valid: validation text.
        test: test text.
    """

    symbols: tuple[str, ...]
    train: Tensor
    valid: Tensor
    test: Tensor


def read_corpus(path: str | Path, unit: str) -> Corpus:
    """Returns the "characters" or "words" of the texts in a folder or a zip archive.

    The files are `ptb.char.train.txt`, or `ptb.train.txt`, and so on: symbols between spaces, and the end of
    each line is a symbol, too.

    Raises:
        TextError: a file is missing, empty or not UTF-8, or has a symbol that the training text has not.
        OSError: it cannot be read.
    """
    path = Path(path)
    infix = "char." if unit == "characters" else ""
    names = [f"ptb.{infix}{part}.txt" for part in PARTS]
    texts = [_symbols(label, content) for label, content in _contents(path, names)]
    symbols = tuple(sorted(set(texts[0])))
    numbers = {symbol: number for number, symbol in enumerate(symbols)}
    parts = []
    for name, text in zip(names, texts, strict=True):
        if unknown := next((symbol for symbol in text if symbol not in numbers), None):
            line = text[: text.index(unknown)].count(END) + 1
            raise TextError(
                f"{path}: {name}:{line}: expected a symbol of the training text, found {unknown!r}"
            )
        parts.append(torch.tensor([numbers[symbol] for symbol in text]))
    return Corpus(symbols, *parts)


def _contents(path: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yields label and content of each file in a folder or, at any depth, in a zip archive."""
    if path.is_dir():
        for name in names:
            if not (path / name).is_file():
                raise TextError(f"{path}: expected {', '.join(names)} in it, found no {name}")
            yield str(path / name), (path / name).read_bytes()
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.rpartition("/")[2]: member for member in archive.namelist()}
            for name in names:
                if name not in members:
                    raise TextError(f"{path}: expected {', '.join(names)} in it, found no {name}")
                yield f"{path}: {name}", archive.read(members[name])
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise TextError(f"{path}: expected a folder of text files or a whole zip archive: {error}") from error


def _symbols(label: str, content: bytes) -> list[str]:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise TextError(f"{label}: expected UTF-8 text, but byte {error.start} is none") from None
    symbols = [symbol for line in text.splitlines() for symbol in (*line.split(), END)]
    if not symbols:
        raise TextError(f"{label}: expected text, found an empty file")
    return symbols


def streams(text: Tensor, batch: int) -> Tensor:
    """Returns a text (symbols,) as `batch` pieces that follow one another, (T, B); the remainder is left out.

    Raises:
        ValueError: it has fewer than two symbols for each piece.
    """
    steps = len(text) // batch
    if steps < 2:
        raise ValueError(
            f"expected a text of at least {2 * batch} symbols for {batch} streams, found {len(text)}"
        )
    return text[: steps * batch].view(batch, steps).t().contiguous()


def segments(steps: int, data: PtbData, random: np.random.Generator) -> Iterator[slice]:
    """Yields the inputs of one epoch over streams of so many steps; the last step of all is only a target."""
    start = int(random.integers(0, min(data.offset, steps - 2) + 1))
    while start < steps - 1:
        length = data.segment
        if data.varied:
            mean = length if random.random() >= _HALF else length / 2
            length = min(max(_SHORTEST, int(random.normal(mean, _DEVIATION))), length + _BEYOND)
        end = min(start + length, steps - 1)
        yield slice(start, end)
        start = end


def surprise(model: LanguageModel, text: Tensor, segment: int, device: str | torch.device) -> float:
    """Returns the mean negative log-likelihood, in nats, of a text (T, B); the first symbols only begin it.

    The state is carried from segment to segment, so their length does not matter.
    """
    total, state = 0.0, None
    for start in range(0, len(text) - 1, segment):
        end = min(start + segment, len(text) - 1)
        logits, state = model(text[start:end].to(device), state)
        target = text[start + 1 : end + 1].to(device)
        total += F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="sum").item()
    return total / text[1:].numel()


class PtbTask:
    """A language model learns the text in a folder or zip archive.

    Attributes:
        model, measure, data: see `Task`.

    Raises:
        ValueError: a text is missing, damaged, or too short for the batch.
    """

    def __init__(self, settings: Ptb, path: str | Path, device: str | torch.device = "cpu") -> None:
        data, train = settings.data, settings.train
        corpus = read_corpus(path, data.unit)
        try:
            self.text = streams(corpus.train, train.batch)
            self.valid, self.tested = (streams(part, data.test_batch) for part in (corpus.valid, corpus.test))
        except ValueError as error:
            raise TextError(f"{path}: {error}") from error
        self.data = fingerprint(corpus.train, corpus.valid, corpus.test)
        self.measure = "bits a character" if data.unit == "characters" else "perplexity"
        torch.manual_seed(train.seed)
        self.model = LanguageModel(settings.model, len(corpus.symbols)).to(device)
        self.settings, self.device = data, device
        self.seed = train.seed
        self._epoch, self._number = -1, 0  # of the next segment
        self._parts: list[tuple[slice, bool]] = []  # of the epoch
        self._state: State | None = None

    def loss(self, step: int) -> Tensor:
        """Returns the cross-entropy of the next segment, whose state is that after the one before."""
        if self._number == len(self._parts):
            self._begin(self._epoch + 1)
        part, fresh = self._parts[self._number]
        x, target = self.text[part].to(self.device), self.text[part.start + 1 : part.stop + 1]
        logits, after = self.model(x, None if fresh else self._state)
        self._state = detached(after)
        self._number += 1
        return F.cross_entropy(logits.flatten(0, 1), target.flatten().to(self.device))

    def _begin(self, epoch: int) -> None:
        """Draws an epoch's segments, and before which of them the state is zero."""
        random = np.random.default_rng((self.seed, epoch))
        parts = list(segments(len(self.text), self.settings, random))
        fresh = random.random(len(parts)) < self.settings.reset
        fresh[0] = True
        self._epoch, self._number = epoch, 0
        self._parts = list(zip(parts, fresh.tolist(), strict=True))

    def validate(self) -> Score:
        """Measures on the validation text."""
        return self._score(self.valid)

    def test(self) -> Score:
        """Measures on the test text."""
        return self._score(self.tested)

    def position(self) -> dict[str, Any]:
        """Returns the next segment's place and the state before it."""
        state = None if self._state is None else list(self._state)
        return {"epoch": self._epoch, "number": self._number, "state": state}

    def restore(self, position: dict[str, Any]) -> None:
        """Goes to a position."""
        if position["epoch"] >= 0:
            self._begin(position["epoch"])
        self._number = position["number"]
        if (state := position["state"]) is not None:
            self._state = State(state[0], tuple(h.to(self.device) for h in state[1]))

    def _score(self, text: Tensor) -> Score:
        nats = surprise(self.model, text, self.settings.segment, self.device)
        return Score(nats, nats / math.log(2) if self.settings.unit == "characters" else math.exp(nats))


def trainer(settings: Ptb, path: str | Path, device: str | torch.device = "cpu") -> Trainer:
    """Returns what trains a fresh language model on the text in a folder or zip archive.

    Raises:
        ValueError: a text is missing, damaged, or too short for the batch.
    """
    return Trainer(PtbTask(settings, path, device), settings.train)
