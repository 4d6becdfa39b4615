import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from action_indrnn import checkpoint, config, layers, memory, models, step
from action_indrnn.config import Config
from action_indrnn.data_prep import layout
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.data_prep.layout import Layout
from action_indrnn.graph import GraphIndRNN, distances_of_bodies
from action_indrnn.graph_layers import Bodies, BodyRecurrence, GraphConvolution, InputNorm, partitions
from action_indrnn.networks import Graph
from action_indrnn.training import Run

from .test_streaming import recognizer

NTU = layout.load("ntu25")
ROW = tomllib.loads(
    """
    name = "row"
    joints = ["a", "b", "c", "d"]
    centre = "b"
    bones = [["a", "b"], ["c", "b"], ["d", "c"]]
    pairs = []
    across = [["a", "c"]]
    """
)
FOUR = layout.from_table(ROW, "row")
STREAMS = ("joint", "bone", "motion", "bone-motion")
FAR = ("distance", "joint", "motion", "distance-motion")
ANY = [
    {},
    {"pooling": "both", "weights": "channel", "norm": "before", "joints": "pooled"},
    {"pooling": "attention"},
    {"pooling": "mean", "partner": False, "groups": 1, "activation": "tanh"},
    {"layers": 0, "body_layers": 1},
    {"adjacency": "fixed"},
]


def settings(*streams: str, **model: object) -> Config:
    small = {"channels": 8, "layers": 2, "groups": 2, "units": 6, "dropout": 0.0} | model
    return Config(model=Graph(**small), data=config.Data(streams=streams or STREAMS))


def network(
    skeleton: Layout = FOUR, bodies: int = 2, streams: tuple[str, ...] = (), **model: object
) -> GraphIndRNN:
    """A network in evaluation mode whose statistics and weights are not those of the start."""
    torch.manual_seed(0)
    made = models.build(settings(*streams, **model), 3 * bodies * len(skeleton.joints), 5, skeleton)
    assert isinstance(made, GraphIndRNN)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        made(torch.randn(6, 9, made.features) + 0.5)
    return made.eval()


def clips(joints: Layout = FOUR, bodies: int = 2, frames: int = 9) -> torch.Tensor:
    """(T, 4, F): bodies come late, go early, are never there; a frame is empty."""
    torch.manual_seed(1)
    x = torch.randn(frames, 4, bodies, 3 * len(joints.joints))
    x[:2, 0, 0] = 0
    x[-3:, 1, -1] = 0
    x[:, 2, -1] = 0
    x[4, 3] = 0
    return x.flatten(2)


def test_partitions_of_a_skeleton() -> None:
    self, inward, outward = partitions(FOUR)
    assert torch.equal(self, torch.eye(4))
    assert inward.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    assert outward.tolist() == [[0, 0, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_size() -> None:
    c, g, h, v, k, streams = 8, 2, 6, 25, 60, 4
    inputs = 3 * streams + 6  # the centre and what the other body's is away
    layer = v * c + 2 * c + c * c + c + g * v * v + c * c + c
    second = h * h + h + h + 2 * h
    rest = second + h * k + k
    flat, pooled = (
        sum(p.numel() for p in models.build(settings(joints=joints), 150, k, NTU).parameters())
        for joints in ("flat", "pooled")
    )
    assert flat == inputs * c + c + 2 * layer + (v * c * h + h + h + 2 * h) + rest
    assert pooled == flat - v * c * h + 2 * c * h


@pytest.mark.parametrize("streams", [STREAMS, FAR])
@pytest.mark.parametrize("model", ANY)
def test_gradients_reach_every_parameter(model: dict[str, object], streams: tuple[str, ...]) -> None:
    made = network(streams=streams, **model).train()
    F.cross_entropy(made(clips())[0], torch.arange(4)).backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_gradients_are_right() -> None:
    made = network(activation="tanh", pooling="both").double()
    x = clips().double()
    names, values = zip(*made.named_parameters(), strict=True)
    chosen = [name for name in names if "layers.1" in name]

    def loss(*parameters: torch.Tensor) -> torch.Tensor:
        given = dict(zip(chosen, parameters, strict=True))
        return torch.func.functional_call(made, given, (x,))[0]

    inputs = [dict(zip(names, values, strict=True))[name].detach().requires_grad_() for name in chosen]
    assert torch.autograd.gradcheck(loss, inputs, fast_mode=True)


@pytest.mark.parametrize("partner", [True, False])
def test_a_layer_is_its_formula(partner: bool) -> None:
    made = network(partner=partner).double()
    layer = made.layers[0]
    x = torch.randn(5, 4, 6, 8, dtype=torch.double)  # bodies 0 and 1 are of the first clip
    found, state = layer(x, None, Bodies.of(torch.ones(5, 3, 2, dtype=torch.bool), x.dtype, pack=False))
    h, expected = torch.zeros(4, 6, 8, dtype=torch.double), []
    u, norm, mix = layer.block.indrnn.u, layer.block.norm.norm, layer.convolution
    for frame in x:
        h = torch.relu(frame + u * h)
        seen = (h - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        y = mix.linear(seen).split(4, dim=2)
        mixed = [torch.einsum("vw,wrc->vrc", mix.adjacency[g], y[g]) for g in (0, 1)]
        told = layer.partner(seen.mean(dim=0)[[1, 0, 3, 2, 5, 4]]) if partner else 0
        expected.append(frame + torch.cat(mixed, dim=2) + told)
    torch.testing.assert_close(found, torch.stack(expected))
    torch.testing.assert_close(state, h.view(4, 3, 2, 8).permute(1, 2, 0, 3).reshape(3, 64))


@pytest.mark.parametrize("model", ANY)
def test_bodies_may_stand_in_any_order(model: dict[str, object]) -> None:
    made, x = network(bodies=3, **model), clips(bodies=3)
    turned = x.unflatten(2, (3, 12))[:, :, [2, 0, 1]].flatten(2)
    torch.testing.assert_close(made(turned)[0], made(x)[0])
    moved = x.clone()
    moved[:, :, :12] += 0.3
    assert (made(moved)[0] - made(x)[0]).abs().max() > 1e-3


def test_whose_a_distance_is() -> None:
    """Two bodies of joints a, b, c, d, of which c is no end: between a 0, b 1, d 3 and a 4, b 5, d 7."""
    made = network(streams=FAR)
    assert made.streams is not None
    pairs = [tuple(pair) for pair in made.streams.pairs.tolist()]
    own = [[pairs[at] for at in row] for row in made.distances.tolist()]
    assert own[0][:3] == [(0, 1), (0, 3), (1, 3)]
    assert own[1][:3] == [(4, 5), (4, 7), (5, 7)]
    assert own[0][3:] == [(a, b) for a in (0, 1, 3) for b in (4, 5, 7)]
    assert own[1][3:] == [(a, b) for b in (4, 5, 7) for a in (0, 1, 3)]
    alone = distances_of_bodies(torch.tensor([[0, 1], [0, 3], [1, 3]]), 4, 1)
    assert alone.tolist() == [[0, 1, 2]]


def test_distances_reach_the_first_body_layer_whatever_the_order_of_bodies_and_streams() -> None:
    made, x = network(streams=FAR), clips()
    assert made.body_layers[0].linear.in_features == 4 * 8 + 2 * (3 + 9)
    assert made.embedding.in_features == 3 * 4  # two streams of a joint, the centre, the other's centre
    turned = x.unflatten(2, (2, 12)).flip(2).flatten(2)
    torch.testing.assert_close(made(turned)[0], made(x)[0])
    made.body_layers[0].linear.weight.data[:, :32] = 0  # distances alone
    far = made(x)[0]
    moved = x.unflatten(2, (2, 4, 3)) + (x.unflatten(2, (2, 4, 3)) != 0).any(4, keepdim=True).any(3, True)
    torch.testing.assert_close(made(moved.flatten(2))[0], far)  # all who are there step aside together
    moved[:, :, 1, 3] *= 1.5
    assert (made(moved.flatten(2))[0] - far).abs().max() > 1e-3
    renamed = network(streams=("joint", "motion", "distance", "distance-motion"))
    renamed.load_state_dict(network(streams=FAR).state_dict())
    torch.testing.assert_close(renamed(x)[0], network(streams=FAR)(x)[0])


def test_a_graph_makes_its_own_bones() -> None:
    x = clips()
    own, given = network(streams=("joint", "motion"), bones=True), network()
    state = {key: value for key, value in given.state_dict().items() if key in own.state_dict()}
    # Numbers of a joint: centre, from the others, place, bone, motion, its bone; and made by itself, the
    # bones stand in front of what they are of, where a place comes with its centre.
    order = [3 * part + axis for part in (3, 0, 1, 2, 5, 4) for axis in range(3)]
    state["embedding.weight"] = state["embedding.weight"][:, order]
    for key in ("norm.running_mean", "norm.running_var"):
        state[key] = state[key][order]
    own.load_state_dict(state)
    with torch.inference_mode():
        torch.testing.assert_close(own(x)[0], given(x)[0], rtol=1e-5, atol=1e-5)


def test_a_body_hears_of_the_others_and_only_of_those_who_are_there() -> None:
    there = torch.tensor([[[True, True, False], [True, False, False]]])  # (T, B, M)
    bodies = Bodies.of(there, torch.float32, pack=False)
    x = torch.arange(1.0, 7)[None, :, None]  # (T, R, C)
    assert bodies.others(x).flatten().tolist() == [2, 1, 1.5, 0, 4, 4]
    packed = Bodies.of(there, torch.float32, pack=True)
    assert packed.columns is not None
    assert packed.others(x[:, packed.columns]).flatten().tolist() == [2, 1, 0]


@pytest.mark.parametrize("streams", [STREAMS, FAR])
@pytest.mark.parametrize("model", ANY)
def test_bodies_that_are_never_there_are_not_computed_and_nothing_changes(
    model: dict[str, object], streams: tuple[str, ...]
) -> None:
    made, x = network(streams=streams, **model), clips()
    expected, states = made(x)
    made.training = True  # of the network alone: its normalisations stay as they are
    found, packed = made(x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(packed, states)
    nobody = torch.zeros_like(x)
    torch.testing.assert_close(made(nobody)[0], made.classifier.bias.expand(4, 5))


def test_of_clips_of_one_body_each_nothing_is_the_largest_and_nothing_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, x = network(streams=FAR), clips()
    width = x.shape[2] // 2
    x[:, ::2, width:] = 0  # the second body is not there
    x[:, 1::2, :width] = 0  # or the first
    expected, states = made(x)
    made.training = True
    found, packed = made(x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(packed, states)
    found.sum().backward()
    gradients = [parameter.grad.clone() for parameter in made.parameters()]
    made.zero_grad()
    whole = Bodies.of

    def of(there: torch.Tensor, dtype: torch.dtype, *, pack: bool) -> Bodies:
        bodies = whole(there, dtype, pack=pack)
        assert bodies.alone == pack
        return replace(bodies, alone=False)

    monkeypatch.setattr(Bodies, "of", of)
    made(x)[0].sum().backward()
    for parameter, gradient in zip(made.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("pooling", ["last", "mean", "both"])
def test_empty_frames_around_a_clip_change_nothing(pooling: str) -> None:
    made, x = network(pooling=pooling), clips()
    empty = torch.zeros(3, 4, x.shape[2])
    longer = made(torch.cat((empty, x, empty)))[0]
    torch.testing.assert_close(longer, made(x)[0])


@pytest.mark.parametrize("cuts", [(1,), (3, 7), tuple(range(1, 9))])
@pytest.mark.parametrize("streams", [STREAMS, FAR])
@pytest.mark.parametrize("model", ANY)
def test_a_stream_gives_the_whole_clips_logits(
    model: dict[str, object], cuts: tuple[int, ...], streams: tuple[str, ...]
) -> None:
    made, x = network(streams=streams, **model), clips()
    expected, last = made(x)
    state = None
    for part in torch.tensor_split(x, cuts):
        logits, state = made(part, state)
    torch.testing.assert_close(logits, expected)
    assert state is not None
    torch.testing.assert_close(state, last)
    assert [len(h[0]) for h in last] == [module.units for module in made.memories()]
    assert isinstance(step.of(made), step.Step)


@pytest.mark.parametrize("streams", [STREAMS, FAR])
def test_a_network_that_walks_back_sees_the_reversed_clip(streams: tuple[str, ...]) -> None:
    ahead, back = network(streams=streams), network(streams=streams)
    back.turn()
    x = clips()
    torch.testing.assert_close(back(x)[0], ahead(x.flip(0))[0])


def test_recurrent_weights() -> None:
    of_joints, of_channels = network(), network(weights="channel")
    assert [layer.u.numel() for layer in of_joints.recurrences()] == [32, 32, 6, 6]
    assert [layer.u.numel() for layer in of_channels.recurrences()] == [8, 8, 6, 6]
    fresh = models.build(settings(bound="penalty", units=64), 24, 5, FOUR)
    lows = [float(layer.u.detach().min()) for layer in fresh.recurrences()]
    assert lows[-1] >= layers.u_low(20, 5) > max(lows[:-1])
    assert not fresh.penalty()
    first = next(fresh.recurrences())
    first.u.data[1, 0, 2] = first.bound + 2
    with torch.no_grad():
        assert float(fresh.penalty()) == pytest.approx(2)
    layers.clamp_recurrent_(fresh)
    assert first.u.detach().max() > first.bound
    first.bounded = True
    layers.clamp_recurrent_(fresh)
    assert first.u.detach().max() == pytest.approx(first.bound)
    assert memory.layer_memory(first)["units"] == 32


@pytest.mark.parametrize("joints", [1, 3])
def test_a_recurrence_by_hand(joints: int) -> None:
    recurrence = BodyRecurrence(joints, 2, length=20, activation="identity")
    u = torch.arange(2.0 * joints).view(joints, 1, 2) / 10
    recurrence.u.data.copy_(u)
    x, h0 = torch.randn(2, 3, 4, 2), torch.randn(3, 4, 2)
    y, h = recurrence(x, h0)
    torch.testing.assert_close(y, torch.stack((x[0] + u * h0, x[1] + u * (x[0] + u * h0))))
    assert torch.equal(h, y[1])


def test_the_input_norm_counts_only_who_is_there() -> None:
    norm = InputNorm(1)
    x = torch.tensor([[1.0, 100], [3, 100]])[None, None]  # (C, T, V, R)
    mask = torch.tensor([1.0, 0])[None, None, :, None]
    assert norm(x, mask)[0, 0, :, 0].flatten().tolist() == pytest.approx([-1, 1], abs=1e-4)
    assert norm.running_mean.item() == pytest.approx(0.2)
    assert norm.running_var.item() == pytest.approx(1.0)
    assert norm.eval()(x, mask)[0, 0, 0, 0].item() == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize("learned", [True, False])
def test_a_convolution_starts_as_the_skeleton(learned: bool) -> None:
    convolution = GraphConvolution(partitions(FOUR), 6, 3, learned=learned)
    assert ("adjacency" in dict(convolution.named_parameters())) == learned
    assert ("adjacency" in convolution.state_dict()) == learned
    torch.nn.init.eye_(convolution.linear.weight)
    x = torch.zeros(1, 4, 1, 6)
    x[0, 2] = 1.0  # the joint c, whose parent is b and whose child d
    found = convolution(x)[0, :, 0]
    assert found[:, 0].tolist() == [0, 0, 1, 0]
    assert found[:, 2].tolist() == [0, 0, 0, 1]
    assert found[:, 4].tolist() == [0, 0.5, 0, 0]


def test_joints_of_another_layout() -> None:
    twenty = layout.from_table(layout.load("msr20").table() | {"name": "own"}, "own.toml")
    made, x = network(twenty, bodies=1), torch.randn(6, 3, 60)
    assert made(x)[0].shape == (3, 5)
    assert made.layers[0].convolution.adjacency.shape == (2, 20, 20)
    with pytest.raises(
        ValueError, match=r"^model\.kind: expected bodies of own's 20 joints .* found 75 feat"
    ):
        models.build(settings("joint"), 75, 5, twenty)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.kind: expected a joint layout for a graph, found none"):
        models.build(Graph(), 150, 5)
    with pytest.raises(
        config.ConfigError, match=r"override model: groups expects a divisor of channels 32, found 3"
    ):
        config.load("graph", ["model.groups=3"])
    with pytest.raises(
        ValueError, match=r"streams: expected no bones for a graph with .*, found bone-motion"
    ):
        models.build(settings("joint", "bone-motion", bones=True), 150, 5, NTU)
    with pytest.raises(ValueError, match="expected joint or bone among them for a graph, found motion"):
        models.build(settings("motion"), 150, 5, NTU)
    with pytest.raises(ValueError, match=r"streams: expected at most 2 bodies for distance, found 3"):
        models.build(settings("joint", "distance"), 36, 5, FOUR)


def test_it_trains_on_made_data_and_its_file_gives_it_back(made_set: PreparedSet, tmp_path: Path) -> None:
    chosen = config.load(
        "graph",
        (
            *("model.channels=8", "model.layers=2", "model.units=16", "train.batch=16"),
            *("train.learning_rate=5e-3", "train.max_epochs=4", "evaluate.passes=2"),
        ),
    )
    run = Run(chosen, made_set, "xsub", tmp_path / "run")
    run.start()
    result = run.train()
    losses = [row["train_loss"] for row in run.progress.history]
    assert losses[-1] < losses[0] - 0.2
    model, card = checkpoint.load_model(result.model)
    x = torch.randn(20, 2, card.features)
    assert torch.equal(model(x)[0], run.model.eval()(x)[0])
    assert [row["units"] for row in memory.model_report(str(result.model))["layers"]] == [200, 200, 16, 16]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("streams", [STREAMS, FAR])
def test_the_exported_step_gives_the_streams_logits(tmp_path: Path, streams: tuple[str, ...]) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    from action_indrnn import onnx_step

    small = {"layers": 1, "body_layers": 1, "groups": 1}
    card = recognizer().card.model_copy(update={"config": settings(*streams, **small)})
    made = network(NTU, streams=streams, **small)
    assert onnx_step.export(made, card, tmp_path / "step.onnx")[0] < 1e-4
    session = onnx_step.session((tmp_path / "step.onnx").read_bytes())
    state = np.zeros((4, sum(module.units for module in made.memories())), np.float32)
    x = clips(NTU)
    for frame in x:
        logits, state = session.run(None, {"features": frame.numpy(), "state": state})
    with torch.inference_mode():
        torch.testing.assert_close(torch.from_numpy(logits), made(x)[0], rtol=1e-3, atol=1e-3)
