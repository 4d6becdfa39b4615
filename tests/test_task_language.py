import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from action_indrnn import task_config
from action_indrnn.frame_norm import FrameBatchNorm
from action_indrnn.layers import IndRNN, Linear, clamp_recurrent_
from action_indrnn.task_config import DenseLanguage, PlainLanguage, Ptb, ResidualLanguage
from action_indrnn.task_language import LanguageModel, State, detached

SMALL = {
    "plain": PlainLanguage(embedding=6, units=7, layers=2, frames=5),
    "residual": ResidualLanguage(embedding=6, units=7, blocks=2, frames=5),
    "dense": DenseLanguage(embedding=6, growth_rate=3, blocks=(2, 1), frames=5),
}


def trained(kind: str) -> LanguageModel:
    """A small model in evaluation mode whose statistics differ from step to step."""
    torch.manual_seed(0)
    model = LanguageModel(SMALL[kind], 9)
    for _ in range(3):
        model(torch.randint(9, (8, 4)))
    return model.eval()


@pytest.mark.parametrize(
    ("name", "parameters", "recurrences"),
    [("task_ptb_word", 51_655_712, 39), ("task_ptb_word_residual", 48_501_600, 12)],
)
def test_networks_have_the_published_size(name: str, parameters: int, recurrences: int) -> None:
    with torch.device("meta"):
        model = LanguageModel(task_config.load(Ptb, name).model, 10_000)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert sum(isinstance(module, IndRNN) for module in model.modules()) == recurrences


@pytest.mark.parametrize("name", task_config.names(Ptb))
def test_every_shipped_network_answers_at_every_step(name: str) -> None:
    with torch.device("meta"):
        model = LanguageModel(task_config.load(Ptb, name).model, 50)
        logits, state = model.eval()(torch.zeros(3, 2, dtype=torch.long))
    assert logits.shape == (3, 2, 50)
    assert state.position == 3


@pytest.mark.parametrize("kind", SMALL)
@settings(max_examples=15, deadline=None)
@given(cuts=st.sets(st.integers(1, 16)))
def test_a_text_in_segments_with_carried_state_equals_one_long_run(kind: str, cuts: set[int]) -> None:
    model = trained(kind).double()
    text = torch.randint(9, (17, 3), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole, end = model(text)
        state, pieces = None, []
        for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 17], strict=True):
            logits, state = model(text[start:stop], state)
            pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces), whole)
    assert state.position == end.position == 17
    for one, other in zip(state.states, end.states, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", SMALL)
def test_an_answer_depends_on_what_came_before_alone(kind: str) -> None:
    model = trained(kind)
    text = torch.randint(9, (12, 2))
    changed = text.clone()
    changed[7:] = (text[7:] + 1) % 9
    for mode in (model.eval(), model.train()):
        for module in mode.modules():
            if hasattr(module, "p"):
                module.p = 0.0  # dropout would draw another mask
        one, other = mode(text)[0], mode(changed)[0]
        torch.testing.assert_close(one[:7], other[:7])
        assert not torch.allclose(one[7:], other[7:])


def test_the_state_matters() -> None:
    model = trained("plain")
    text = torch.randint(9, (3, 2))
    _, state = model(text)
    assert not torch.allclose(model(text, state)[0], model(text)[0])
    assert not torch.allclose(model(text, State(0, state.states))[0], model(text, state)[0])


def test_embedding_and_decoder_are_one() -> None:
    model = trained("plain")
    with torch.no_grad():
        model.embedding.weight[4] = 0
        model.bias[4] = 2.5
    assert (model(torch.randint(9, (3, 2)))[0][..., 4] == 2.5).all()


def test_the_bound_is_the_number_in_the_settings() -> None:
    model = LanguageModel(SMALL["dense"].model_copy(update={"bound": 0.99}), 9)
    recurrences = [module for module in model.modules() if isinstance(module, IndRNN)]
    with torch.no_grad():
        for module in recurrences:
            assert 0 <= module.u.min() <= module.u.max() <= 0.99
            module.u[0], module.u[1] = 5, -5
    clamp_recurrent_(model)
    for module in recurrences:
        assert module.u[:2].tolist() == pytest.approx([0.99, -0.99])


def test_small_initial_weights() -> None:
    torch.manual_seed(0)
    config = PlainLanguage(embedding=50, units=60, layers=1, small=True)
    model = LanguageModel(config, 9)
    linears = [module for module in model.modules() if isinstance(module, Linear)]
    assert [linear.in_features for linear in linears] == [50, 60]
    for linear in linears:
        assert linear.weight.abs().max().item() == pytest.approx((6 / linear.in_features) ** 0.5, rel=0.02)
    norms = [module for module in model.modules() if isinstance(module, FrameBatchNorm)]
    assert len(norms) == 3
    assert all((norm.weight == 0.1).all() for norm in norms)


def test_dropped_symbols_are_gone_for_the_whole_batch() -> None:
    torch.manual_seed(0)
    model = LanguageModel(SMALL["plain"].model_copy(update={"dropout_symbols": 0.5}), 9)
    rows = model._embedding()
    gone = (rows == 0).all(dim=1)
    assert 0 < gone.sum() < 9
    torch.testing.assert_close(rows[~gone], 2 * model.embedding.weight[~gone])
    assert model.eval()._embedding() is model.embedding.weight


def test_a_detached_state_ends_the_gradient() -> None:
    model = trained("residual").train()
    _, state = model(torch.randint(9, (3, 2)))
    assert all(h.requires_grad for h in state.states)
    cut = detached(state)
    assert cut.position == 3
    assert not any(h.requires_grad for h in cut.states)
