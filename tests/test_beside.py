"""Two networks of different kinds that learn from the same batches and answer together."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from action_indrnn import config, models, report, step
from action_indrnn.checkpoint import combine
from action_indrnn.config import Config
from action_indrnn.data_prep import archive, layout
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.ensemble import Ensemble
from action_indrnn.optimisation import Learner
from action_indrnn.recognizer import Recognizer
from action_indrnn.training import Run

NTU = layout.load("ntu25")
TWO = (
    "model.units=8",
    "beside.kind=graph",
    "beside.channels=4",
    "beside.units=6",
    "beside.pooling=both",
)
SHORT = (*TWO, "train.min_steps=0", "train.max_epochs=2", "train.batch=8", "evaluate.passes=2")


def without_chance(*more: str) -> Config:
    return config.load("live", [*TWO, "model.dropout=0", "beside.dropout=0", "data.rotation=0", *more])


def clips(count: int) -> torch.Tensor:
    return torch.randn(12, count, 150, generator=torch.Generator().manual_seed(count))


@pytest.fixture(scope="module")
def trained(made_set: PreparedSet, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders of two seeds."""
    folders = []
    for seed in (0, 1):
        folders.append(tmp_path_factory.mktemp("run") / "run")
        run = Run(config.load("live", [*SHORT, f"train.seed={seed}"]), made_set, "xsub", folders[-1])
        run.start()
        run.train()
    return folders


def test_each_learns_as_it_would_alone() -> None:
    settings = without_chance("model.bound=penalty", "model.bound_penalty=3.0")
    both = models.build(settings, 150, 5, NTU)
    assert isinstance(both, Ensemble)
    plain, graph = both.members
    assert isinstance(plain, models.PlainIndRNN)
    with torch.no_grad():
        for layer in plain.recurrences():
            layer.u.copy_(torch.linspace(0.5, 1.5, 8))  # some beyond their bound
    alone = {
        "model": models.build(settings.model_copy(update={"beside": None}), 150, 5, NTU),
        "beside": models.build(
            settings.model_copy(update={"model": settings.beside, "beside": None}), 150, 5, NTU
        ),
    }
    for one, member in zip(alone.values(), (plain, graph), strict=True):
        one.load_state_dict(member.state_dict())
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    learners = [Learner(network.train(), settings.train) for network in (both, *alone.values())]
    for seed in range(3):
        x = clips(6) + seed
        sums = [learner.step([(x, labels)], 2e-3) for learner in learners]
        assert sums[0][0].item() == pytest.approx((sums[1][0] + sums[2][0]).item() / 2)
    for one, member in zip(alone.values(), (plain, graph), strict=True):
        for name, value in member.state_dict().items():
            torch.testing.assert_close(value, one.state_dict()[name], rtol=0, atol=0, msg=name)
    assert learners[1].model.penalty() > 0  # the one has a penalty, the other has not
    assert both.penalty() == learners[1].model.penalty()


def test_the_answer_is_the_mean_of_their_probabilities() -> None:
    both = models.build(without_chance(), 150, 5, NTU)
    x, labels = clips(7), torch.arange(7) % 5
    own = both(x)[0]  # in training: each by itself
    assert own.shape == (2, 7, 5)
    both.eval()
    with torch.inference_mode():
        found = both(x)[0]
        each = [member(x)[0].softmax(dim=1) for member in both.members]
    torch.testing.assert_close(found.exp(), (each[0] + each[1]) / 2)
    assert F.cross_entropy(found, labels) <= sum(F.nll_loss(one.log(), labels) for one in each) / 2


def test_streamed_is_whole(trained: list[Path]) -> None:
    recognizer = Recognizer.load(trained[0] / "model.safetensors")
    model = recognizer.model
    assert model.causal
    x = clips(3)
    one = step.of(model)
    assert " and the network's own modules" in one.way  # two ways, each named
    states = [torch.zeros(one.width) for _ in range(3)]
    for frame in x:
        logits = one.advance(frame, states)
    with torch.inference_mode():
        torch.testing.assert_close(logits, model(x)[0], rtol=1e-4, atol=1e-4)


def test_a_run_goes_on_only_with_the_same_two(made_set: PreparedSet, tmp_path: Path) -> None:
    prepared = archive.read(made_set.path)
    run = Run(config.load("live", SHORT), prepared, "xsub", tmp_path / "run")
    run.start()
    run.train()
    assert run.as_text().startswith("plain and graph, ")
    other = Run(config.load("live", [*SHORT, "beside.units=5"]), prepared, "xsub", tmp_path / "run")
    with pytest.raises(ValueError, match=r"expected beside.units 5, found 6"):
        other.resume()
    alone = Run(config.load("live", [*SHORT, "beside=none"]), prepared, "xsub", tmp_path / "run")
    with pytest.raises(ValueError, match=r"expected beside.activation None, found relu"):
        alone.resume()


def test_seeds_of_two_can_be_put_together(trained: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "four.safetensors"
    card = combine([folder / "model.safetensors" for folder in trained], out)
    assert card.config.kind == "plain and graph"
    x = clips(4)
    with torch.inference_mode():
        each = [Recognizer.load(folder / "model.safetensors").model(x)[0].exp() for folder in trained]
        torch.testing.assert_close(Recognizer.load(out).model(x)[0].exp(), (each[0] + each[1]) / 2)


def test_the_report_reads_the_units_of_the_one_that_has_some(trained: list[Path]) -> None:
    page = report.build(trained[0])
    assert "Plain and graph networks" in page
    assert "Of the first of the two networks that can be read so." in page
    assert "Memory lengths of layer 5" in page  # two of the one, three of the other


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("beside.kind=nn", "override beside.kind: expected one of 'plain', .*, found 'nn'"),
        ("beside.unit=3", "override beside.unit: unknown key; did you mean 'beside.units'"),
        ("beside.units=0", "override beside.units: expected an integer >= 1, found 0"),
        ("beside.members=2", r"live\.toml: beside.members: expected 1, found 2; only model has it"),
        ("beside.groups=3", "override beside: groups expects a divisor of channels 32, found 3"),
        ("beside=3", "override beside: expected a table or none, found 3"),
    ],
)
def test_settings_that_are_none(override: str, message: str) -> None:
    with pytest.raises(config.ConfigError, match=message):
        config.load("live", ["beside.kind=graph", override])


def test_settings_are_written_and_read(tmp_path: Path) -> None:
    settings = config.load("live", TWO)
    path = tmp_path / "two.toml"
    path.write_text(config.dump(settings))
    assert config.load(path) == settings
    assert config.load(path, ["beside=none"]).beside is None
    with pytest.raises(config.ConfigError, match=r"expects beside\.pooling 'last'"):
        config.load("detect", ["beside.kind=graph", "beside.pooling=mean"])
