"""The graph-convolutional IndRNN: joints mixed along the skeleton's graph, each with a memory of its own.

A layer adds to its input x what a recurrence keeps of it, mixed over the joints:

    h_t = act(x_t + u * h_{t-1})        for every joint and channel
    y   = x + sum_g A_g norm(h) W_g     A_g (V, V) for each group g of channels

The papers' equation with a graph convolution for W, in the wiring of the residual network. All bodies share
all weights; what is read of a frame is the same in whatever order its bodies stand, and a body that is not
there has no part in it.

Shapes: `T` frames, `B` clips in a batch, `M` bodies, `V` joints, `C` channels, `R` bodies that are computed,
`F` features, `K` classes; see `graph_layers`.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import combinations, product

import torch
from torch import Tensor, nn

from action_indrnn.blocks import left, recurrence
from action_indrnn.classifier import Classifier, Memory, Recur
from action_indrnn.data_prep.layout import Layout
from action_indrnn.facing import Facing
from action_indrnn.graph_layers import (
    Bodies,
    BodyBlock,
    BodyDropout,
    GraphConvolution,
    InputNorm,
    partitions,
)
from action_indrnn.layers import BatchNormOverTime, Linear
from action_indrnn.networks import Graph
from action_indrnn.pooling import PARTS, Attention, SeenPooling
from action_indrnn.streams import Streams


def _block(config: Graph, joints: int, channels: int, *, last: bool = False) -> BodyBlock:
    return BodyBlock(joints, channels, **recurrence(config, last=last))


class GraphLayer(nn.Module):
    """A recurrence of every joint and channel, mixed over the joints and added to the input.

    Attributes:
        units: numbers in the state of a clip.
    """

    def __init__(self, config: Graph, graph: Tensor, bodies: int) -> None:
        super().__init__()
        joints, channels = graph.shape[1], config.channels
        self.units = bodies * joints * channels
        self.block = _block(config, joints if config.weights == "joint" else 1, channels)
        learned = config.adjacency == "learned"
        self.convolution = GraphConvolution(graph, channels, config.groups, learned=learned)
        self.partner = Linear(channels, channels) if config.partner and bodies > 1 else None
        self.dropout = BodyDropout(config.dropout, each_step=config.dropout_mask == "step")

    def forward(self, x: Tensor, h0: Tensor | None, bodies: Bodies) -> tuple[Tensor, Tensor]:
        """Returns the output (T, V, R, C) and the last state (B, units)."""
        h, after = self.block(x, h0, bodies)
        y = self.convolution(h)
        if self.partner is not None:
            y = y + bodies.others(self.partner(h.mean(dim=1)))[:, None]
        return x + self.dropout(y, bodies), after


class BodyLayer(nn.Module):
    """A linear map and a recurrence of whole bodies.

    Attributes:
        units: numbers in the state of a clip.
    """

    def __init__(self, config: Graph, inputs: int, bodies: int, *, last: bool) -> None:
        super().__init__()
        self.units = bodies * config.units
        self.linear = Linear(inputs, config.units)
        self.block = _block(config, 1, config.units, last=last)
        dropout = left(config, config.dropout) if last else config.dropout
        self.dropout = BodyDropout(dropout, each_step=config.dropout_mask == "step")

    def forward(self, x: Tensor, h0: Tensor | None, bodies: Bodies) -> tuple[Tensor, Tensor]:
        """Returns the output (T, 1, R, H) of x (T, 1, R, C), and the last state (B, units)."""
        y, after = self.block(self.linear(x), h0, bodies)
        return self.dropout(y, bodies), after


def _evenly(linear: Linear) -> Linear:
    """A map whose outputs are as large as its inputs: the trunk's first value is not normalised."""
    nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
    return linear


def _is_far(name: str) -> bool:
    """Whether a stream is of pairs of joints."""
    return name.startswith("distance")


def distances_of_bodies(pairs: Tensor, joints: int, bodies: int) -> Tensor:
    """Which distances are a body's: between its own ends, then from each of its ends to the other's, (M, D).

    Args:
        pairs: (P, 2) of `Streams`: of joints, numbered through all bodies' joints, the lower first.
        joints: V of a body.
        bodies: M, at most two.
    """
    number = {tuple(pair): at for at, pair in enumerate(pairs.tolist())}  # the lower joint first
    ends = sorted({joint for pair in number for joint in pair if joint < joints})
    rows = []
    for body in range(bodies):
        own = [(body * joints + a, body * joints + b) for a, b in combinations(ends, 2)]
        far = [
            (body * joints + a, other * joints + b)
            for other in range(bodies)
            if other != body
            for a, b in product(ends, ends)
        ]
        rows.append([number[min(pair), max(pair)] for pair in (*own, *far)])
    return torch.tensor(rows)


class GraphIndRNN(Classifier):
    """Every joint's streams embedded, graph layers, joints read, recurrent layers, bodies pooled.

    Args:
        config: of the network.
        features: F, joints of M bodies after one another, three coordinates each.
        classes: K.
        layout: of the joints.
        streams: what a joint gets in place of its place; a bone belongs to its child. Distances go to the
            first body layer, beside the joints.

    Raises:
        ValueError: the features are not whole bodies of the layout, or no stream tells who is there, or
            distances are asked for between more than two bodies.
    """

    bone: Tensor
    parent: Tensor
    distances: Tensor

    def __init__(
        self, config: Graph, features: int, classes: int, layout: Layout, streams: Streams | None = None
    ) -> None:
        joints, channels = len(layout.joints), config.channels
        bodies, rest = divmod(features, 3 * joints)
        if rest or not bodies:
            raise ValueError(
                f"model.kind: expected bodies of {layout.name}'s {joints} joints in 3 coordinates, "
                f"{3 * joints} features each, found {features} features"
            )
        names = ("joint",) if streams is None else streams.names
        if not {"joint", "bone"} & set(names):
            raise ValueError(
                f"data.streams: expected joint or bone among them for a graph, found {', '.join(names)}"
            )
        far = [name for name in names if _is_far(name)]
        if far and bodies > 2:
            raise ValueError(f"data.streams: expected at most 2 bodies for {far[0]}, found {bodies}")
        super().__init__(features, classes, config.units, streams=streams)
        self.names = names
        self.widths = [features] if streams is None else list(streams.widths)
        self.bodies, self.joints, self.centre = bodies, joints, layout.centre
        bones = {child: number for number, (child, _) in enumerate(layout.bones)}
        at = torch.tensor([bones.get(joint, len(bones)) for joint in range(joints)])
        self.register_buffer("bone", at, persistent=False)  # (V,); behind all bones: none
        parents = dict(layout.bones)
        of = torch.tensor([parents.get(joint, joint) for joint in range(joints)])
        self.register_buffer("parent", of, persistent=False)  # (V,); itself: none
        self.bones = config.bones
        if self.bones and (found := [name for name in names if name.startswith("bone")]):
            raise ValueError(
                f"data.streams: expected no bones for a graph with bones = true, found {found[0]}"
            )
        derived = len({"joint", "motion"} & set(names)) if self.bones else 0
        inputs = 3 * (len(names) - len(far) + 2 * ("joint" in names) + derived)
        self.norm = InputNorm(inputs)
        self.embedding = _evenly(Linear(inputs, channels))
        graph = partitions(layout)
        self.layers = nn.ModuleList(GraphLayer(config, graph, bodies) for _ in range(config.layers))
        self.flat = config.joints == "flat"
        width = channels * (joints if self.flat else 2)
        self.distance_norm: nn.Module | None = None
        if streams is not None and far:
            own = distances_of_bodies(streams.pairs, joints, bodies)
            self.register_buffer("distances", own, persistent=False)
            self.distance_norm = BatchNormOverTime(len(far) * own.shape[1])
            width += len(far) * own.shape[1]
        self.body_layers = nn.ModuleList(
            BodyLayer(config, config.units if index else width, bodies, last=index == config.body_layers - 1)
            for index in range(config.body_layers)
        )
        # The state ends with what is read, as in every classifier; but only frames with a body count.
        self.reads_last = False
        if config.pooling == "attention":
            self.mean = Attention(config.units, config.dropout, config.dropout_mask, gaps=True)
            parts = PARTS
        else:
            self.mean = SeenPooling(config.units, config.pooling)
            parts = 2 if config.pooling == "both" else 1
        self.classifier = Linear(parts * config.units, classes)
        nn.init.kaiming_normal_(self.classifier.weight)

    def _walks(self) -> Iterator[Memory]:
        kinds = Facing | Streams | GraphLayer | BodyLayer
        return (module for module in self.modules() if isinstance(module, kinds))

    def turn(self) -> None:
        """Makes the network walk from the last frame to the first, where it then answers."""
        super().turn()
        assert isinstance(self.mean, SeenPooling | Attention)
        self.mean.reverse = True

    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns (T, B, H + 1): the largest of the bodies' units, and 1 where a body is there, else 0."""
        streams = dict(zip(self.names, torch.split(x, self.widths, dim=2), strict=True))
        points, there = self._points(streams)
        bodies = Bodies.of(there, x.dtype, pack=self.training)
        seen = self.norm(bodies.take(points, 3), bodies.mask)  # (C, T, V, R)
        y = self.embedding(seen.flatten(1).t()).view(*seen.shape[1:], -1)
        for layer in self.layers:
            y = recur(partial(layer, bodies=bodies), y)
        if y.requires_grad:  # its gradient comes transposed, and all before it would walk it so
            y.register_hook(torch.Tensor.contiguous)
        z = y.transpose(1, 2).flatten(2) if self.flat else torch.cat((y.mean(dim=1), y.amax(dim=1)), dim=2)
        if self.distance_norm is not None:
            far = [stream[..., self.distances] for name, stream in streams.items() if _is_far(name)]
            of_bodies = bodies.take(torch.cat(far, dim=3), 1)  # (T, R, D)
            z = torch.cat((z, self.distance_norm(of_bodies)), dim=2)
        z = z[:, None]  # (T, 1, R, C)
        for layer in self.body_layers:
            z = recur(partial(layer, bodies=bodies), z)
        somebody = there.any(dim=2, keepdim=True)
        if bodies.alone:
            best = z[:, 0]
        else:
            best = bodies.give(z[:, 0]).masked_fill(~there[..., None], -torch.inf).amax(dim=2)
        return torch.cat((best.masked_fill(~somebody, 0), somebody.to(z.dtype)), dim=2)

    def _points(self, streams: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns every joint's streams (C, T, V, B, M), and which bodies are there (T, B, M).

        A place is told from the body's own centre, beside it that centre, and from the others' centres.
        """
        parts: list[Tensor] = []
        there: Tensor | None = None
        for name, stream in streams.items():
            if _is_far(name):
                continue
            rows = stream.reshape(*stream.shape[:2], self.bodies, -1, 3)  # (T, B, M, V, 3)
            if there is None and not name.endswith("motion"):
                there = (rows != 0).flatten(3).any(dim=3)
            # (3, T, V, B, M), so that what follows copies whole planes
            points = rows.permute(4, 0, 3, 1, 2).contiguous()
            if name.startswith("bone"):
                none = points.new_zeros(1, 1, 1, 1, 1).expand(*points.shape[:2], 1, *points.shape[3:])
                points = torch.cat((points, none), dim=2).index_select(2, self.bone)
            if self.bones and name in ("joint", "motion"):
                parts.append(points - points.index_select(2, self.parent))
            if name == "joint" and there is not None:
                centre = points[:, :, self.centre : self.centre + 1]
                parts += [centre.expand_as(points), self._from_others(points, centre, there)]
                points = points - centre
            parts.append(points)
        assert there is not None
        return torch.cat(parts), there

    def _from_others(self, points: Tensor, centre: Tensor, there: Tensor) -> Tensor:
        """Returns the points as seen from the other bodies' mean centre; 0 where there is none."""
        here = there[None, :, None].to(points.dtype)  # (1, T, 1, B, M)
        rest = here.sum(dim=4, keepdim=True) - here
        mean = ((centre * here).sum(dim=4, keepdim=True) - centre * here) / rest.clamp_min(1)
        return torch.where((rest > 0) & (here > 0), points - mean, 0)
