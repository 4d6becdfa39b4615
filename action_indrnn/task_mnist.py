"""Sequential and permuted MNIST: a digit's class from its 784 pixels, one a step.

Shapes: `T` steps, `B` digits in a batch, `N` digits of a file. Source: Le et al., arXiv 1504.00941; settings
of Li et al., arXiv 1910.06251, as in Sunnydreamrain/IndRNN_pytorch.
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from action_indrnn.models import build
from action_indrnn.task_config import Mnist
from action_indrnn.task_fit import Score, Trainer, fingerprint

SIDE, CLASSES = 28, 10
EVALUATION_BATCH = 250
_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTE = 8  # idx's code of the element type


class IdxError(ValueError):
    """A file that is not the idx file that was expected; the message names it."""


def read_idx(path: str | Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Returns the array of bytes in an idx file, compressed by gzip or not.

    The format: two zero bytes, the element type, the number of dimensions, then each dimension as a
    big-endian 32-bit integer, then the elements (LeCun, Cortes, Burges: the MNIST database).

    Raises:
        IdxError: another kind of file, other dimensions, damaged, cut short or too long.
        OSError: it cannot be read.
    """
    content = Path(path).read_bytes()
    if content.startswith(_GZIP):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise IdxError(f"{path}: expected a whole gzip file: {error}") from error
    magic = bytes((0, 0, _UNSIGNED_BYTE, dimensions))
    if content[:4] != magic:
        raise IdxError(
            f"{path}: expected an idx file of bytes in {dimensions} dimensions (magic {magic.hex()}), "
            f"found {content[:4].hex() or 'an empty file'}"
        )
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise IdxError(f"{path}: expected a header of {start} bytes, found {len(content)}")
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    if len(content) - start != math.prod(shape):
        raise IdxError(
            f"{path}: expected {math.prod(shape):,} bytes behind the header "
            f"for {' x '.join(map(str, shape))}, "
            f"found {len(content) - start:,}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_digits(folder: str | Path, part: str) -> tuple[Tensor, Tensor]:
    """Returns the pixels (N, 784), 0 to 255, and the classes (N,) of the "train" or the "t10k" files.

    Raises:
        IdxError: a file is missing or damaged, or the two do not fit together.
    """
    images_file = _find(Path(folder), f"{part}-images-idx3-ubyte")
    labels_file = _find(Path(folder), f"{part}-labels-idx1-ubyte")
    images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
    if images.shape[1:] != (SIDE, SIDE):
        found = " x ".join(map(str, images.shape[1:]))
        raise IdxError(f"{images_file}: expected images of {SIDE} x {SIDE} pixels, found {found}")
    if len(labels) != len(images):
        raise IdxError(
            f"{labels_file}: expected {len(images):,} labels for the images in {images_file.name}, "
            f"found {len(labels):,}"
        )
    if not len(labels):
        raise IdxError(f"{images_file}: expected digits, found none")
    if labels.max() >= CLASSES:
        place = int(labels.argmax())
        raise IdxError(f"{labels_file}: label {place}: expected 0 to {CLASSES - 1}, found {labels[place]}")
    pixels = images.reshape(len(images), -1).copy()  # torch wants memory that may be written
    return torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64))


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise IdxError(f"{folder}: expected {name} or {name}.gz in it, found neither")


def sequences(pixels: Tensor, order: Tensor) -> Tensor:
    """Returns digits (B, T) as sequences (T, B, 1) of values in [-1, 1), the pixels in the given order."""
    return ((pixels[:, order].float() / 256 - 0.5) * 2).t()[..., None]


def pixel_order(settings: Mnist) -> Tensor:
    """Returns the places (T,) of the pixels as they come: by lines, or in one random order for all digits."""
    if not settings.data.permuted:
        return torch.arange(SIDE**2)
    return torch.randperm(SIDE**2, generator=torch.Generator().manual_seed(settings.data.permutation_seed))


class MnistTask:
    """A network learns the digits of the MNIST files in a folder.

    Attributes:
        model, measure, data: see `Task`.

    Raises:
        IdxError: the files are missing or damaged.
        ValueError: fewer training digits than a batch and the validation need.
    """

    measure = "accuracy in %"

    def __init__(self, settings: Mnist, folder: str | Path, device: str | torch.device = "cpu") -> None:
        held_out, self.batch, self.seed = settings.data.validation, settings.train.batch, settings.train.seed
        self.pixels, self.labels = read_digits(folder, "train")
        self.tested = read_digits(folder, "t10k")
        if len(self.labels) < held_out + self.batch:
            raise ValueError(
                f"{folder}: expected at least {held_out + self.batch:,} training digits "
                f"(data.validation + train.batch), found {len(self.labels):,}"
            )
        self.data = fingerprint(self.pixels, self.labels, *self.tested)
        torch.manual_seed(self.seed)
        self.model = build(settings.model, features=1, classes=CLASSES).to(device)
        self.device, self.order = device, pixel_order(settings)
        self._random = torch.Generator().manual_seed(self.seed)
        shuffled = torch.randperm(len(self.labels), generator=self._random)
        self.held_out, self.trained = shuffled[:held_out], shuffled[held_out:]
        self._epoch, self._before, self._mixed = -1, self._random.get_state(), self.trained

    def loss(self, step: int) -> Tensor:
        """Returns the cross-entropy of a batch; every epoch has an order of its own."""
        epoch, number = divmod(step, len(self.trained) // self.batch)
        if self._epoch != epoch:
            self._mix(epoch)
        batch = self._mixed[number * self.batch : (number + 1) * self.batch]
        logits, _ = self.model(sequences(self.pixels[batch], self.order).to(self.device))
        return F.cross_entropy(logits, self.labels[batch].to(self.device))

    def _mix(self, epoch: int) -> None:
        """Draws the order of the training digits in an epoch."""
        self._epoch, self._before = epoch, self._random.get_state()
        self._mixed = self.trained[torch.randperm(len(self.trained), generator=self._random)]

    def validate(self) -> Score:
        """Measures on the training digits held out."""
        return self._score(self.pixels[self.held_out], self.labels[self.held_out])

    def test(self) -> Score:
        """Measures on the t10k digits."""
        return self._score(*self.tested)

    def position(self) -> dict[str, Any]:
        """Returns the epoch and where the random numbers stood before it."""
        return {"epoch": self._epoch, "random": self._before}

    def restore(self, position: dict[str, Any]) -> None:
        """Goes to a position."""
        self._random.set_state(position["random"])
        if position["epoch"] >= 0:
            self._mix(position["epoch"])

    def _score(self, pixels: Tensor, labels: Tensor) -> Score:
        parts = torch.split(pixels, EVALUATION_BATCH)
        logits = torch.cat(
            [self.model(sequences(part, self.order).to(self.device))[0].cpu() for part in parts]
        )
        accuracy = (logits.argmax(dim=1) == labels).double().mean().item()
        return Score(F.cross_entropy(logits, labels).item(), 100 * accuracy, accuracy)


def trainer(settings: Mnist, folder: str | Path, device: str | torch.device = "cpu") -> Trainer:
    """Returns what trains a fresh network on the MNIST files in a folder.

    Raises:
        IdxError: the files are missing or damaged.
        ValueError: fewer training digits than a batch and the validation need.
    """
    return Trainer(MnistTask(settings, folder, device), settings.train)
