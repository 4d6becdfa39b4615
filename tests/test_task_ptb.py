import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from action_indrnn import task_config, task_ptb
from action_indrnn.task_config import Ptb, PtbData
from action_indrnn.task_ptb import TextError

SMALL = ["model.units=8", "model.layers=1", "model.embedding=4", "train.batch=4", "data.test_batch=2"]


def settings(*overrides: str) -> Ptb:
    return task_config.load(Ptb, "task_ptb_short", [*SMALL, *overrides])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of made texts: an endless a, b, c; four streams of the 201 lines are out of step."""
    for part, lines in (("train", 201), ("valid", 20), ("test", 10)):
        (tmp_path / f"ptb.char.{part}.txt").write_text(" a b c \n" * lines)
        (tmp_path / f"ptb.{part}.txt").write_text(" the <unk> N \n" * lines)
    return tmp_path


def test_the_end_of_a_line_is_a_symbol(folder: Path) -> None:
    corpus = task_ptb.read_corpus(folder, "characters")
    assert corpus.symbols == ("<eos>", "a", "b", "c")
    assert corpus.test.tolist() == [1, 2, 3, 0] * 10
    words = task_ptb.read_corpus(folder, "words")
    assert words.symbols == ("<eos>", "<unk>", "N", "the")
    assert words.valid.tolist() == [3, 1, 2, 0] * 20


def test_a_zip_archive_gives_the_same(folder: Path) -> None:
    with zipfile.ZipFile(folder / "ptb.zip", "w") as archive:
        for path in folder.glob("*.txt"):
            archive.write(path, f"deep/in/{path.name}")
    for unit in ("characters", "words"):
        plain, packed = (task_ptb.read_corpus(path, unit) for path in (folder, folder / "ptb.zip"))
        assert plain.symbols == packed.symbols
        assert plain.train.tolist() == packed.train.tolist()
        assert plain.test.tolist() == packed.test.tolist()


def test_streams_follow_one_another() -> None:
    text = torch.arange(11)
    assert task_ptb.streams(text, 2).t().tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert task_ptb.streams(text, 1)[:, 0].tolist() == list(range(11))
    with pytest.raises(ValueError, match="at least 12 symbols for 6 streams, found 11"):
        task_ptb.streams(text, 6)


@pytest.mark.parametrize("varied", [False, True])
def test_segments_cover_the_streams_but_what_stands_before_the_offset(varied: bool) -> None:
    data = PtbData(unit="words", segment=20, varied=varied, offset=30)
    starts, lengths = set(), set()
    for seed in range(50):
        found = list(task_ptb.segments(1000, data, np.random.default_rng(seed)))
        assert [one.stop for one in found[:-1]] == [two.start for two in found[1:]]
        assert found[-1].stop == 999  # the last symbol is only a target
        starts.add(found[0].start)
        lengths |= {part.stop - part.start for part in found[:-1]}
    assert min(starts) >= 0
    assert 20 < max(starts) <= 30
    if varied:
        assert 5 <= min(lengths) < 12
        assert 25 < max(lengths) <= 30
    else:
        assert lengths == {20}


def test_a_short_text_is_one_segment_whatever_the_offset() -> None:
    data = PtbData(unit="words", segment=20, offset=30)
    for seed in range(20):
        (part,) = task_ptb.segments(3, data, np.random.default_rng(seed))
        assert part in (slice(0, 2), slice(1, 2))


def test_the_surprise_does_not_depend_on_the_segments(folder: Path) -> None:
    made = task_ptb.trainer(settings("train.steps=2", "train.every=1"), folder)
    made.run()
    model = made.model.eval()
    text = torch.randint(4, (29, 2))
    with torch.no_grad():
        found = [task_ptb.surprise(model, text, segment, "cpu") for segment in (1, 3, 7, 28, 100)]
        logits, _ = model(text[:-1])
    expected = -logits.log_softmax(dim=2).gather(2, text[1:, :, None]).mean().item()
    assert found == pytest.approx([expected] * 5)


def test_what_repeats_is_learned_and_measured_in_bits(folder: Path) -> None:
    made = task_ptb.trainer(settings("train.steps=100", "train.every=50", "train.learning_rate=0.02"), folder)
    made.run()
    assert made.task.measure == "bits a character"
    score = made.test()
    assert score.figure == pytest.approx(score.loss / math.log(2))
    assert score.figure < 0.3  # 2 bits at the start


def test_words_are_measured_in_perplexity(folder: Path) -> None:
    made = task_ptb.trainer(settings("data.unit=words"), folder)
    made.model.eval()
    with torch.no_grad():
        score = made.task.validate()
    assert made.task.measure == "perplexity"
    assert score.figure == pytest.approx(4, rel=0.02)  # four symbols, nothing learned


@pytest.mark.parametrize(("reset", "carried"), [(0.0, True), (1.0, False)])
def test_training_carries_the_state(folder: Path, monkeypatch, reset: float, carried: bool) -> None:
    made = task_ptb.trainer(settings(f"data.reset={reset}", "data.segment=20", "data.offset=0"), folder)
    seen = []
    forward = made.model.forward

    def spy(x, state=None):
        seen.append(None if state is None else state.position)
        return forward(x, state)

    monkeypatch.setattr(made.model, "forward", spy)
    for step in range(12):
        made.task.loss(step)
    # 200 inputs a stream: ten segments, then an epoch begins anew without a state
    assert seen == ([None, *range(20, 200, 20), None, 20] if carried else [None] * 12)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ptb.char.valid.txt", None, "found no ptb.char.valid.txt"),
        ("ptb.char.test.txt", b"", "expected text, found an empty file"),
        ("ptb.char.train.txt", b" a b \xff\n", "expected UTF-8 text, but byte 5 is none"),
        ("ptb.char.valid.txt", b" a b \n a z \n", "valid.txt:2: expected .* found 'z'"),
    ],
)  # fmt: skip
def test_a_damaged_text_is_named(folder: Path, name: str, content: bytes | None, message: str) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(TextError, match=message) as error:
        task_ptb.trainer(settings(), folder)
    assert str(folder) in str(error.value)
    assert name in str(error.value)


def test_a_damaged_archive_is_named(folder: Path) -> None:
    path = folder / "ptb.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "ptb.char.train.txt", "ptb.char.train.txt")
    with pytest.raises(TextError, match=r"ptb\.zip: expected .* in it, found no ptb\.char\.valid\.txt"):
        task_ptb.read_corpus(path, "characters")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(TextError, match=r"ptb\.zip: expected a folder of text files or a whole zip archive"):
        task_ptb.read_corpus(path, "characters")


def test_a_text_too_short_for_its_streams_is_named(folder: Path) -> None:
    with pytest.raises(TextError, match=r"at least 400 symbols for 200 streams, found 80"):
        task_ptb.trainer(settings("data.test_batch=200"), folder)
