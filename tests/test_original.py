"""Weights in the original's naming, against its equations written out here once more."""

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from action_indrnn import checkpoint, config, original
from action_indrnn.features import LINES
from action_indrnn.models import Classifier, build
from action_indrnn.networks import Convolutional, Dense, Plain, Residual

Weights = dict[str, Tensor]


class Made:
    """Random weights, each asked for by the original's name and its size."""

    def __init__(self) -> None:
        self.random = torch.Generator().manual_seed(0)
        self.weights: Weights = {}

    def draw(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.random)

    def linear(self, name: str, inputs: int, outputs: int) -> None:
        self.weights[f"{name}.weight"] = self.draw(outputs, inputs) / inputs**0.5
        self.weights[f"{name}.bias"] = self.draw(outputs)

    def irb(self, name: str, units: int) -> None:
        self.weights[f"{name}.indrnn1.weight_hh"] = self.draw(units).tanh()
        for part in ("weight", "bias", "running_mean"):
            self.weights[f"{name}.norm1.bn.{part}"] = self.draw(units)
        self.weights[f"{name}.norm1.bn.running_var"] = self.draw(units).exp()
        self.weights[f"{name}.norm1.bn.num_batches_tracked"] = torch.tensor(7)


class Original:
    """The original's forward pass in evaluation, from its equations and its names."""

    def __init__(self, weights: Weights, before: bool = False, difference: bool = False) -> None:
        self.weights = {name: value.double() for name, value in weights.items()}
        self.before, self.difference = before, difference

    def fc(self, name: str, x: Tensor) -> Tensor:
        return torch.einsum("tbi,oi->tbo", x, self.weights[f"{name}.weight"]) + self.weights[f"{name}.bias"]

    def norm(self, name: str, x: Tensor) -> Tensor:
        part = {p: self.weights[f"{name}.{p}"] for p in ("weight", "bias", "running_mean", "running_var")}
        return (x - part["running_mean"]) / (part["running_var"] + 1e-5) ** 0.5 * part["weight"] + part[
            "bias"
        ]

    def irb(self, name: str, x: Tensor) -> Tensor:
        if self.before:
            x = self.norm(f"{name}.norm1.bn", x)
        states, u = [torch.zeros_like(x[0])], self.weights[f"{name}.indrnn1.weight_hh"]
        for step in x:
            states.append((step + u * states[-1]).clamp(min=0))
        h = torch.stack(states[1:])
        return h if self.before else self.norm(f"{name}.norm1.bn", h)

    def fa(self, x: Tensor) -> Tensor:
        if not self.difference:
            return x
        change = [x[0]] + [x[t] - x[t - 1] for t in range(1, len(x))]
        return torch.cat((x, torch.stack(change)), dim=2)

    def answer(self, x: Tensor) -> Tensor:
        return x[-1] @ self.weights["classifier.weight"].T + self.weights["classifier.bias"]


def plain_weights(layers: int, units: int, features: int, classes: int) -> Weights:
    made = Made()
    for layer in range(layers):
        made.linear(f"DIs.{layer}.fc", units if layer else features, units)
        made.irb(f"RNNs.{layer}", units)
    made.linear("classifier", units, classes)
    return made.weights


def plain_forward(net: Original, x: Tensor, layers: int) -> Tensor:
    for layer in range(layers):
        x = net.irb(f"RNNs.{layer}", net.fc(f"DIs.{layer}.fc", x))
    return net.answer(x)


def residual_weights(blocks: int, units: int, features: int, classes: int) -> Weights:
    made = Made()
    made.linear("features.fc0.fc", features, units)
    for block in range(1, blocks + 1):
        for place in (1, 2):
            made.irb(f"features.resblock{block}.IndRNNwithBN{place}", units)
            made.linear(f"features.resblock{block}.fc{place}.fc", units, units)
    made.irb("features.IndRNNwithBN_last", units)
    made.linear("classifier", units, classes)
    return made.weights


def residual_forward(net: Original, x: Tensor, blocks: int) -> Tensor:
    x = net.fc("features.fc0.fc", x)
    for name in (f"features.resblock{block}" for block in range(1, blocks + 1)):
        y = net.fc(f"{name}.fc1.fc", net.irb(f"{name}.IndRNNwithBN1", x))
        x = x + net.fc(f"{name}.fc2.fc", net.irb(f"{name}.IndRNNwithBN2", y))
    return net.answer(net.irb("features.IndRNNwithBN_last", x))


def dense_weights(blocks: tuple[int, ...], k: int, features: int, classes: int, sides: int) -> Weights:
    made = Made()
    made.linear("features.fc0.fc", sides * features, 6 * k)
    made.irb("features.IndRNNwithBN0", 6 * k)
    width = 6 * k
    for block, layers in enumerate(blocks, 1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            made.linear(f"{name}.fc1.fc", sides * width, 4 * k)
            made.irb(f"{name}.IndRNNwithBN1", 4 * k)
            made.linear(f"{name}.fc2.fc", sides * 4 * k, k)
            made.irb(f"{name}.IndRNNwithBN2", k)
            width += k
        name = f"features.transition{block}" if block < len(blocks) else "features.lastlayer"
        made.linear(f"{name}.fc.fc", sides * width, width // 2)
        made.irb(f"{name}.IndRNNwithBN", width // 2)
        width //= 2
    made.linear("classifier", sides * width, classes)
    return made.weights


def dense_forward(net: Original, x: Tensor, blocks: tuple[int, ...]) -> Tensor:
    x = net.fa(net.irb("features.IndRNNwithBN0", net.fc("features.fc0.fc", net.fa(x))))
    for block, layers in enumerate(blocks, 1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            y = net.fa(net.irb(f"{name}.IndRNNwithBN1", net.fc(f"{name}.fc1.fc", x)))
            x = torch.cat((x, net.fa(net.irb(f"{name}.IndRNNwithBN2", net.fc(f"{name}.fc2.fc", y)))), dim=2)
        name = f"features.transition{block}" if block < len(blocks) else "features.lastlayer"
        x = net.fa(net.irb(f"{name}.IndRNNwithBN", net.fc(f"{name}.fc.fc", x)))
    return net.answer(x)


def distances(x: Tensor) -> Tensor:
    """(T, B, 1794) by Heron's formula in double precision: the two bodies take turns."""
    joints = x.double().unflatten(2, (2, 25, 3))
    columns = []
    for first, second in LINES:
        for joint in range(1, 26):
            if joint in (first, second):
                continue
            for body in range(2):
                p0, p1, p2 = (joints[:, :, body, place - 1] for place in (joint, first, second))
                a, b, c = ((p - q).norm(dim=-1) for p, q in ((p1, p2), (p0, p1), (p0, p2)))
                s = (a + b + c) / 2
                columns.append(2 * (s * (s - a) * (s - b) * (s - c)).sqrt() / (a + 1e-5))
    return torch.stack(columns, dim=2)


def check(model: Classifier, x: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(model.double()(x.double())[0], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("norm", ["after", "before"])
def test_a_plain_network(norm) -> None:
    weights, x = plain_weights(3, 8, 5, 4), torch.randn(6, 2, 5)
    model = original.convert(weights, Plain(layers=3, units=8, norm=norm), 5, 4)
    check(model, x, plain_forward(Original(weights, norm == "before"), x.double(), 3))
    slow = {name.replace("indrnn1.", "indrnn1.indrnn_cell."): value for name, value in weights.items()}
    assert slow.keys() != weights.keys()  # as its class for machines without CUDA calls them
    again = original.convert(slow, Plain(layers=3, units=8, norm=norm), 5, 4)
    torch.testing.assert_close(again.double().state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("norm", ["after", "before"])
def test_a_residual_network(norm) -> None:
    weights, x = residual_weights(2, 8, 5, 4), torch.randn(6, 2, 5)
    model = original.convert(weights, Residual(blocks=2, units=8, norm=norm), 5, 4)
    check(model, x, residual_forward(Original(weights, norm == "before"), x.double(), 2))


@pytest.mark.parametrize("difference", [False, True])
@pytest.mark.parametrize("norm", ["after", "before"])
def test_a_dense_network(norm, difference: bool) -> None:
    weights, x = dense_weights((2, 1, 2), 3, 5, 4, 1 + difference), torch.randn(6, 2, 5)
    settings = Dense(growth_rate=3, blocks=(2, 1, 2), norm=norm, time_difference=difference)
    model = original.convert(weights, settings, 5, 4)
    net = Original(weights, norm == "before", difference)
    check(model, x, dense_forward(net, x.double(), (2, 1, 2)))


def test_a_dense_network_with_geometry() -> None:
    weights, x = dense_weights((1, 1), 2, 1944, 4, 2), torch.randn(6, 2, 150)
    settings = Dense(growth_rate=2, blocks=(1, 1), time_difference=True, geometry=True)
    model = original.convert(weights, settings, 150, 4)
    net = Original(weights, difference=True)
    check(model, x, dense_forward(net, torch.cat((distances(x), x.double()), dim=2), (1, 1)))


@pytest.mark.parametrize("name", ["plain", "residual", "dense", "dense_fa_geo"])
def test_published_networks_have_the_original_s_names(name: str) -> None:
    settings = config.load(name).model
    names = {original.original_name(ours, settings) for ours in build(settings).state_dict()}
    expected = {
        "plain": plain_weights(6, 2, 5, 4),
        "residual": residual_weights(5, 2, 5, 4),
        "dense": dense_weights((8, 6, 4), 1, 5, 4, 1),
        "dense_fa_geo": dense_weights((8, 6, 4), 1, 5, 4, 2),
    }
    assert names == set(expected[name])
    printed = {  # in the original's training logs
        "plain": "RNNs.5.indrnn1.weight_hh",
        "residual": "features.IndRNNwithBN_last.norm1.bn.weight",
        "dense": "features.denseblock3.denselayer4.IndRNNwithBN2.norm1.bn.weight",
        "dense_fa_geo": "features.lastlayer.IndRNNwithBN.norm1.bn.weight",
    }
    assert printed[name] in names


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_becomes_a_model_file(legacy: bool, tmp_path: Path) -> None:
    weights = plain_weights(2, 8, 150, 60)
    del weights["RNNs.1.norm1.bn.num_batches_tracked"]  # as before torch 0.4.1
    path, out = tmp_path / "indrnn_action_model", tmp_path / "plain.safetensors"
    torch.save(weights, path, _use_new_zipfile_serialization=not legacy)
    settings = config.load("plain", ["model.layers=2", "model.units=8"])
    original.import_checkpoint(path, settings, "ntu60", "xview", out)
    model, card = checkpoint.load_model(out)
    x = torch.randn(4, 3, 150)
    check(model, x, plain_forward(Original(weights), x.double(), 2))
    assert (card.dataset, card.protocol, card.view) == ("ntu60", "xview", "raw")
    assert card.clips == (35_763, 1_883, 18_932)  # as the original's log says
    assert len(card.classes) == 60
    assert card.measured is None


def test_weights_that_do_not_fit_are_named() -> None:
    weights = plain_weights(2, 8, 5, 4)
    with pytest.raises(
        ValueError, match=r"expected the state_dict of a dense network, found that of a plain one"
    ):
        original.convert(weights, Dense(), 5, 4)
    with pytest.raises(ValueError, match=r"found the entries fc.weight"):
        original.convert({"fc.weight": torch.zeros(1)}, Plain(), 5, 4)
    with pytest.raises(ValueError, match=r"classifier.weight: expected shape \(4, 9\), found \(4, 8\)"):
        original.convert(weights, Plain(layers=2, units=9), 5, 4)
    with pytest.raises(ValueError, match=r"expected DIs.2.fc.weight of shape \(8, 8\), found none"):
        original.convert(weights, Plain(layers=3, units=8), 5, 4)
    with pytest.raises(ValueError, match=r"expected \d+ entries, found also DIs.1.fc.bias"):
        original.convert(weights, Plain(layers=1, units=8), 5, 4)
    for other in (Convolutional(), Plain(bidirectional=True)):
        with pytest.raises(
            ValueError, match=r"expected one of the original's networks, plain, residual, dense"
        ):
            original.convert(weights, other, 5, 4)


def test_what_the_original_s_networks_never_saw_is_refused(tmp_path: Path) -> None:
    path, out = tmp_path / "model", tmp_path / "out.safetensors"
    torch.save(plain_weights(6, 512, 150, 60), path)
    for override, message in {
        'data.streams=["motion"]': r"data.streams: expected joint alone, .* found motion",
        "model.pooling=mean": r"model.pooling: expected last, .* found mean",
    }.items():
        with pytest.raises(ValueError, match=message):
            original.import_checkpoint(path, config.load("plain", [override]), "ntu60", "xsub", out)
    assert not out.exists()


def test_files_that_are_no_state_dict_are_refused(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harm",))

    path, settings = tmp_path / "model", config.load("plain")

    def reading() -> None:
        original.import_checkpoint(path, settings, "ntu60", "xsub", tmp_path / "out.safetensors")

    with pytest.raises(ValueError, match=r"model: expected a file of torch.save, found none"):
        reading()
    torch.save({"DIs.0.fc.weight": Harm()}, path)
    with pytest.raises(ValueError, match=r"expected a state_dict saved by torch.save"):
        reading()
    path.write_bytes(pickle.dumps(Harm(), protocol=2))
    with pytest.raises(ValueError, match=r"expected a state_dict saved by torch.save"):
        reading()
    assert not (tmp_path / "harm").exists()
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"expected a state_dict saved by torch.save"):
        reading()
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match=r"expected a state_dict, found list"):
        reading()
    with pytest.raises(
        ValueError, match=r"ntu60: expected a protocol out of \['xsub', 'xview'\], found 'xset'"
    ):
        original.import_checkpoint(path, settings, "ntu60", "xset", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
