"""Networks of several seeds as one model file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from action_indrnn import checkpoint, config, models, step
from action_indrnn.cli import app
from action_indrnn.data_prep import archive
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.ensemble import Ensemble
from action_indrnn.exam import Exam
from action_indrnn.networks import LSTM, Plain
from action_indrnn.recognizer import Recognizer
from action_indrnn.training import Run

SMALL = ("model.units=8", "train.max_epochs=2", "train.min_steps=0", "train.batch=8", "evaluate.passes=2")


@pytest.fixture(scope="module")
def runs(made_set: PreparedSet, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Model files of two seeds."""
    folder = tmp_path_factory.mktemp("seeds")
    files = []
    for seed in (0, 1):
        run = Run(config.load("live", [*SMALL, f"train.seed={seed}"]), made_set, "xsub", folder / str(seed))
        run.start()
        files.append(run.train().model)
    return files


def test_a_combined_file_answers_with_the_mean(
    runs: list[Path], made_set: PreparedSet, tmp_path: Path
) -> None:
    out = tmp_path / "both.safetensors"
    done = CliRunner().invoke(app, ["combine", *map(str, runs), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.output == f"2 networks (plain, made xsub)\nmodel file  {out}\n"
    together = Exam.of(out, made_set, "xsub").report().scores
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((9, 3, 150), np.float32))
    both = Recognizer.load(out)
    alone = [Recognizer.load(file).model for file in runs]
    with torch.inference_mode():
        shares = [one(x)[0].softmax(dim=1) for one in alone]
        torch.testing.assert_close(both.model(x)[0].exp(), (shares[0] + shares[1]) / 2)
    assert together.shape[1] == 14
    assert both.card.measured is None
    assert both.card.config.model.members == 2


def test_an_ensemble_streams_in_each_member_s_fastest_way(runs: list[Path], tmp_path: Path) -> None:
    checkpoint.combine(runs, tmp_path / "both.safetensors")
    model = Recognizer.load(tmp_path / "both.safetensors").model
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((12, 2, 150), np.float32))
    one = step.of(model)
    assert one.way.startswith("2 times ")
    assert one.fast == step.of(Recognizer.load(runs[0]).model).fast
    states = [torch.zeros(one.width) for _ in range(2)]
    for frame in x:
        logits = one.advance(frame, states)
    with torch.inference_mode():
        expected, after = model(x)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.stack(states), torch.cat(after, dim=1), rtol=1e-4, atol=1e-4)


def test_a_state_is_that_of_all_members_in_a_row() -> None:
    network = models.build(Plain(units=4, layers=2, members=3), 6, 5).eval()
    assert isinstance(network, Ensemble)
    x = torch.randn(7, 2, 6)
    with torch.inference_mode():
        whole, _ = network(x)
        _, state = network(x[:4])
        assert [one.shape for one in state] == [(2, 4)] * 6
        torch.testing.assert_close(network(x[4:], state)[0], whole)
        with pytest.raises(ValueError, match="expected a state of 6 tensors, found 2"):
            network(x, state[:2])
    assert not models.build(LSTM(units=4, layers=1, members=2, bidirectional=True), 6, 5).causal


def test_what_cannot_be_put_together_is_refused(
    runs: list[Path], made_set: PreparedSet, tmp_path: Path
) -> None:
    out = tmp_path / "out.safetensors"
    with pytest.raises(ValueError, match="expected two model files or more to put together, found 1"):
        checkpoint.combine(runs[:1], out)
    other = Run(
        config.load("live", [*SMALL, "train.learning_rate=1e-3"]), made_set, "xsub", tmp_path / "other"
    )
    other.start()
    with pytest.raises(ValueError, match=r"expected the config of .*, found another; only the seed may"):
        checkpoint.combine([runs[0], other.train().model], out)
    assert not out.exists()
    checkpoint.combine(runs, out)
    with pytest.raises(FileExistsError, match="a model is not written over"):
        checkpoint.combine(runs, out)
    with pytest.raises(ValueError, match="expected a single network, found 2 put together already"):
        checkpoint.combine([out, runs[0]], tmp_path / "again.safetensors")
    with pytest.raises(ValueError, match="expected another seed than the others', found 0 again"):
        checkpoint.combine([runs[0], runs[0]], tmp_path / "again.safetensors")
    with pytest.raises(ValueError, match=r"model.members: expected 1 in training, found 2"):
        Run(config.load("live", ["model.members=2"]), archive.read(made_set.path), "xsub", tmp_path / "x")
