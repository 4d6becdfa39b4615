import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from action_indrnn import task_config, task_mnist
from action_indrnn.models import build
from action_indrnn.task_config import Mnist
from action_indrnn.task_mnist import IdxError

SMALL = ["model.units=8", "model.layers=1", "train.batch=8", "train.every=10", "data.validation=8"]


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write(folder: Path, part: str, images: np.ndarray, labels: np.ndarray, *, packed: bool = False) -> None:
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        content = idx(array)
        path = folder / f"{part}-{name}-ubyte{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content, mtime=0) if packed else content)


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A folder of made digits: the class is the brightness."""
    random = np.random.default_rng(0)
    for part, count, packed in (("train", 72, True), ("t10k", 20, False)):
        labels = np.arange(count) % 10
        images = 25 * labels[:, None, None] + random.integers(0, 10, (count, 28, 28))
        write(tmp_path, part, images, labels, packed=packed)
    return tmp_path


def settings(*overrides: str) -> Mnist:
    return task_config.load(Mnist, "task_mnist", [*SMALL, *overrides])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("task_mnist", 86_410),
        ("task_mnist_12", 187_786),
        ("task_mnist_residual", 170_890),
        ("task_mnist_dense", 256_514),
    ],
)
def test_shipped_networks_have_the_published_size(name: str, parameters: int) -> None:
    shipped = task_config.load(Mnist, name)
    model = build(shipped.model, features=1, classes=10)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    recurrences = list(model.recurrences())
    assert recurrences[0].bound == pytest.approx(1.002055, abs=5e-7)
    assert recurrences[-1].low == pytest.approx(0.997949, abs=5e-7)


def test_files_are_read_packed_and_plain(digits: Path) -> None:
    for part, count in (("train", 72), ("t10k", 20)):
        pixels, labels = task_mnist.read_digits(digits, part)
        assert pixels.shape == (count, 784)
        assert labels.tolist() == [number % 10 for number in range(count)]
        torch.testing.assert_close(pixels.float().mean(dim=1), 25.0 * labels + 4.5, atol=0.6, rtol=0)


def test_a_pixel_keeps_its_place_in_the_sequence() -> None:
    pixels = torch.zeros(2, 784, dtype=torch.uint8)
    pixels[1, 100] = 128
    x = task_mnist.sequences(pixels, torch.arange(784))
    assert x.shape == (784, 2, 1)
    assert x[0, 0, 0] == -1
    assert (x != -1).nonzero().tolist() == [[100, 1, 0]]
    assert x[100, 1, 0] == 0


def test_the_permutation_is_one_of_all_pixels_and_follows_its_seed() -> None:
    order = task_mnist.pixel_order(settings("data.permuted=true"))
    assert order.sort().values.tolist() == list(range(784))
    assert order.tolist() == task_mnist.pixel_order(settings("data.permuted=true", "train.seed=5")).tolist()
    other = task_mnist.pixel_order(settings("data.permuted=true", "data.permutation_seed=1"))
    assert other.tolist() != order.tolist()
    assert task_mnist.pixel_order(settings()).tolist() == list(range(784))


def test_brightness_is_learned(digits: Path) -> None:
    made = task_mnist.trainer(
        settings("train.steps=100", "train.every=50", "train.learning_rate=0.02", "model.dropout=0.0"), digits
    )
    made.run()
    assert made.points[-1].loss < 0.7 * np.log(10)
    score = made.test()
    assert score.figure == 100 * score.accuracy
    assert score.figure >= 30  # chance is 10


def test_validation_and_training_share_no_digit(digits: Path, monkeypatch) -> None:
    seen = []
    original = task_mnist.sequences

    def spy(pixels: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        seen.append({tuple(row) for row in pixels.tolist()})
        return original(pixels, order)

    monkeypatch.setattr(task_mnist, "sequences", spy)
    made = task_mnist.trainer(settings(), digits)
    for step in range(8):
        made.task.loss(step)
    trained = set.union(*seen)
    assert len(trained) == 64  # 72 less 8, each once in an epoch
    seen.clear()
    made.model.eval()
    made.task.validate()
    assert len(set.union(*seen)) == 8
    assert not trained & set.union(*seen)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("t10k-images-idx3-ubyte", lambda b: b[:-1], "15,680 bytes behind the header for 20 x 28 x 28"),
        ("t10k-images-idx3-ubyte", lambda b: b + b"0", "found 15,681"),
        ("t10k-images-idx3-ubyte", lambda b: b[:10], "expected a header of 16 bytes, found 10"),
        ("t10k-images-idx3-ubyte", lambda b: b"", "found an empty file"),
        ("t10k-labels-idx1-ubyte", lambda b: b"PNG!" + b[4:], "00000801\\), found 504e4721"),
        ("t10k-labels-idx1-ubyte", lambda b: idx(np.zeros(19)), "20 labels for the images"),
        ("t10k-labels-idx1-ubyte", lambda b: b[:-1] + b"\x0b", "label 19: expected 0 to 9, found 11"),
        ("t10k-images-idx3-ubyte", lambda b: idx(np.zeros((1, 27, 28))), "28 x 28 pixels, found 27 x 28"),
        ("train-images-idx3-ubyte.gz", lambda b: b[: len(b) // 2], "expected a whole gzip file"),
        ("train-images-idx3-ubyte.gz", lambda b: b[:30] + b"\xff" * 9, "expected a whole gzip file"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named(digits: Path, name: str, change, message: str) -> None:
    path = digits / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(IdxError, match=message) as error:
        task_mnist.trainer(settings(), digits)
    assert str(error.value).startswith(f"{path}: ")


def test_a_missing_file_is_named(digits: Path) -> None:
    (digits / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(IdxError, match=r"t10k-labels-idx1-ubyte or .*\.gz in it, found neither"):
        task_mnist.trainer(settings(), digits)


def test_too_few_digits_are_told(digits: Path) -> None:
    with pytest.raises(ValueError, match=r"expected at least 3,008 training digits .* found 72"):
        task_mnist.trainer(settings("data.validation=3000"), digits)
