import copy
import shutil
import warnings

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from action_indrnn import models, networks
from action_indrnn.config import Train
from action_indrnn.layers import IndRNN
from action_indrnn.models import Classifier
from action_indrnn.optimisation import Learner

FEATURES, CLASSES = 12, 5


def network(layers: int = 2, **settings: object) -> Classifier:
    torch.manual_seed(0)
    plain = networks.Plain(units=16, layers=layers, dropout=0.0, **settings)
    return models.build(plain, FEATURES, CLASSES)


def batches(count: int, clips: int = 8) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(1)
    return [(torch.randn(7, clips, FEATURES), torch.randint(CLASSES, (clips,))) for _ in range(count)]


def weights(model: Classifier) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_a_step_is_adam_s_on_the_clipped_gradient() -> None:
    (batch,) = batches(1)
    learner, by_hand = Learner(network(), Train(gradient_clip=1e-3, weight_decay=0.1)), network()
    loss, correct = learner.step([batch], 0.01).tolist()
    logits = by_hand(batch[0])[0]
    (mean := F.cross_entropy(logits, batch[1])).backward()
    assert loss == 8 * mean.item()
    assert correct == (logits.argmax(1) == batch[1]).sum()
    for name, parameter in by_hand.named_parameters():
        decay = 0.1 if name.endswith("linear.weight") or name == "classifier.weight" else 0
        gradient = parameter.grad.clamp(-1e-3, 1e-3) + decay * parameter.detach()
        wanted = parameter.detach() - 0.01 * gradient / (gradient.abs() + 1e-8)  # Adam's first step
        bound = 5 ** (1 / 20) if name.endswith("u") else torch.inf
        torch.testing.assert_close(learner.model.get_parameter(name).detach(), wanted.clamp(-bound, bound))


def test_labels_are_smoothed() -> None:
    (batch,) = batches(1)
    loss = Learner(network(), Train(label_smoothing=0.25)).step([batch], 0.01)[0].item()
    target = 0.75 * F.one_hot(batch[1], CLASSES) + 0.25 / CLASSES
    expected = -(target * network()(batch[0])[0].log_softmax(1)).sum().item()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_parts_add_up_to_the_mean_gradient_and_one_step() -> None:
    parts = batches(2)
    learner = Learner(network(), Train(accumulate=2, gradient_clip=1e6))
    sums = learner.step(parts, 0.01)
    gradients, losses = [], []
    for x, labels in parts:  # the statistics of a part are its own
        by_hand = network()
        (loss := F.cross_entropy(by_hand(x)[0], labels)).backward()
        losses.append(8 * loss.item())
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in by_hand.parameters()]))
    found = torch.cat([parameter.grad.flatten() for parameter in learner.model.parameters()])
    torch.testing.assert_close(found, (gradients[0] + gradients[1]) / 2)
    assert sums[0].item() == pytest.approx(sum(losses), rel=1e-6)
    assert learner.optimizer.state_dict()["state"][0]["step"] == 1


def test_the_average_follows_the_weights_and_is_what_is_judged() -> None:
    learner = Learner(network(), Train(weight_average=0.5))
    average, statistics = weights(network()), torch.zeros(16)
    for number, batch in enumerate(batches(12), 1):
        learner.step([batch], 0.01)
        decay = min(0.5, (1 + number) / (10 + number))
        average = decay * average + (1 - decay) * weights(learner.model)
        mean = learner.model.get_buffer("layers.0.block.norm.norm.running_mean")
        statistics = decay * statistics + (1 - decay) * mean
    torch.testing.assert_close(weights(learner.judged), average)
    torch.testing.assert_close(learner.judged.get_buffer("layers.0.block.norm.norm.running_mean"), statistics)
    assert (weights(learner.judged) - weights(learner.model)).abs().max() > 1e-3
    assert Learner(learner.model, Train()).judged is learner.model


def test_a_state_goes_on_exactly_and_a_snapshot_stays() -> None:
    train = Train(weight_average=0.9)
    learner, some = Learner(network(), train), batches(6)
    for batch in some[:3]:
        learner.step([batch], 0.01)
    kept = learner.snapshot()
    for batch in some[3:]:
        learner.step([batch], 0.01)
    resumed = Learner(network(), train)
    resumed.load(kept)
    for batch in some[3:]:
        resumed.step([batch], 0.01)
    assert torch.equal(weights(resumed.model), weights(learner.model))
    assert torch.equal(weights(resumed.judged), weights(learner.judged))
    assert kept["steps"] == 3


@pytest.mark.parametrize("norm", ["after", "before"])
def test_half_precision_is_of_matrix_products_alone(norm: str) -> None:
    (batch,) = batches(1)
    learner = Learner(network(norm=norm), Train(precision="bfloat16"))
    found: list[tuple[type, set[torch.dtype]]] = []
    for module in learner.model.modules():
        if isinstance(module, IndRNN | torch.nn.Linear):
            module.register_forward_hook(
                lambda self, _, y: found.append(
                    (type(self), {t.dtype for t in (y if isinstance(y, tuple) else (y,))})
                )
            )
    half = learner.step([batch], 1e-3)[0].item()
    assert {kind.__name__ for kind, _ in found} == {"IndRNN", "Linear"}
    for kind, dtypes in found:
        assert dtypes == {torch.float32 if kind is IndRNN else torch.bfloat16}
    assert {value.dtype for value in learner.model.state_dict().values()} == {torch.float32, torch.int64}
    full = Learner(network(norm=norm), Train()).step([batch], 1e-3)[0].item()
    assert half != full
    assert half == pytest.approx(full, rel=0.02)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on PATH for torch.compile")
def test_a_compiled_network_learns_the_same() -> None:
    some = batches(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, of what it imports
        compiled, eager = Learner(network(layers=1), Train(compile=True)), Learner(network(layers=1), Train())
        for batch in some:
            torch.testing.assert_close(
                compiled.step([batch], 1e-3), eager.step([batch], 1e-3), rtol=1e-5, atol=0
            )
    torch.testing.assert_close(weights(compiled.model), weights(eager.model), rtol=1e-3, atol=1e-5)
    assert compiled.state()["model"].keys() == eager.state()["model"].keys()
    explained = torch._dynamo.explain(copy.deepcopy(eager.model))(some[0][0])
    assert explained.graph_break_count == 0
    assert "action_indrnn.recurrence" in str(explained.graphs[0].code)
