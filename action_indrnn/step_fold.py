"""A network's maps and recurrences without its normalisations and bones, which go into the maps beside them.

Shapes: `F` features, `H` units, `K` classes.
"""

import torch
from torch import Tensor, nn

from action_indrnn.facing import Facing
from action_indrnn.kernels.step import Bounds, Front, Layer, Mean
from action_indrnn.layers import BatchNormOverTime, RecurrentBlock
from action_indrnn.models import PlainIndRNN, ResidualIndRNN
from action_indrnn.pooling import Attention
from action_indrnn.streams import Streams


@torch.no_grad()
def fold(
    model: PlainIndRNN | ResidualIndRNN,
    maps: list[nn.Linear],
    blocks: list[RecurrentBlock],
    joins: list[bool],
) -> tuple[list[Layer], tuple[Tensor, Tensor], Mean | None]:
    """The layers without normalisations, weight and bias of the classifier, and the mean that it reads.

    In double precision. A normalisation after a recurrence goes into the map that follows, that of the input
    into the first; one before a recurrence goes into the map in front, or stands as a scale and a shift where
    that map joins a trunk, which others read.
    """
    layers: list[Layer] = []
    scale: Tensor | None = None
    shift: Tensor | None = None  # of the normalisation in front of the next map
    if model.input_norm is not None:
        scale, shift = _affine(model.input_norm)
        if (limit := model.input_clip) is not None:  # of a number that is always the same
            shift = torch.where(scale == 0, shift.clamp(-limit, limit), shift)
    for linear, block, joint in zip(maps, blocks, joins, strict=True):
        weight, bias = _behind(linear.weight.double(), linear.bias.double(), scale, shift)
        if not layers and model.streams is not None:
            weight = _regrouped(weight, model.streams)
        factor, offset = _affine(block.norm)
        own: tuple[Tensor | None, Tensor | None] = None, None
        if block.norm_first:
            scale, shift = None, None
            if joint:
                own = factor.float(), offset.float()
            else:
                weight, bias = factor[:, None] * weight, factor * bias + offset
        else:
            scale, shift = factor, offset
        u = block.indrnn.u.detach().clone()
        layers.append(Layer(weight.float().contiguous(), bias.float(), joint, *own, u))
    return layers, *_read(model, len(layers[-1].bias), scale, shift)


def _read(
    model: PlainIndRNN | ResidualIndRNN, width: int, scale: Tensor | None, shift: Tensor | None
) -> tuple[tuple[Tensor, Tensor], Mean | None]:
    """Weight and bias of the classifier, and what it reads of a last layer that is yet to be normalised."""
    assert isinstance(model.classifier, nn.Linear)
    weight, bias = model.classifier.weight.double(), model.classifier.bias.double()
    mean: Mean | None = None
    if model.mean is not None:
        affine = None if scale is None else scale.float(), None if shift is None else shift.float()
        mean = Mean(*affine, not model.reads_last)
    if isinstance(model.mean, Attention):
        score = model.mean.score.weight.double()
        scores = _behind(score, score.new_zeros(len(score)), scale, shift)
        mean = Mean(*affine, False, *(one.float() for one in scores))
    if model.reads_last:
        last, bias = _behind(weight[:, :width], bias, scale, shift)
        weight = torch.cat((last, weight[:, width:]), dim=1)
    return (weight.float().contiguous(), bias.float()), mean


@torch.no_grad()
def bounds_of(model: PlainIndRNN | ResidualIndRNN) -> Bounds | None:
    """Where the clip of the normalised input lies in what the first layer of `_fold` gets."""
    limit = model.input_clip
    if limit is None or model.input_norm is None:
        return None
    scale, shift = _affine(model.input_norm)
    width = limit / scale.abs()  # of a number that is always the same, infinite
    centre = torch.where(scale == 0, 0, -shift / scale)
    bounds = torch.stack((centre - width, centre + width))
    if model.streams is not None:
        bounds = _regrouped(bounds, model.streams)
    return Bounds(*bounds.float().contiguous())


def front_of(streams: Streams | None, facing: Facing | None = None, features: int = 0) -> Front:
    """What is done before the first layer, of whose weights `_regrouped` takes the streams' part.

    Args:
        streams: of the network, if it has any.
        facing: what turns its frames, if something does.
        features: F, of which all are turned.
    """
    none = torch.empty(0, 2, dtype=torch.int64)
    faced = (none, 0) if facing is None else (facing.across.t().contiguous(), features)
    if streams is None:
        return Front(*faced, 0, 1, False, none, False)
    return Front(
        *faced,
        streams.units,
        streams.units // (3 * streams.joints),
        not {"motion", "bone-motion"}.isdisjoint(streams.names),
        streams.pairs,
        "distance-motion" in streams.names,
    )


def behind_a_row(streams: Streams, front: Front) -> Streams | None:
    """The streams that the first layer gets behind a row, in the order of `_regrouped`."""
    wanted = {"motion": front.motion, "distance": len(front.pairs) > 0, "distance-motion": front.changing}
    names = [name for name, there in wanted.items() if there]
    bones = list(zip(streams.child.tolist(), streams.parent.tolist(), strict=True))
    return Streams(streams.units, names, streams.joints, bones) if names else None


def _regrouped(weight: Tensor, streams: Streams) -> Tensor:
    """The weight of a map of streams, as one of joints, then of what `Front` puts behind them, in that order.

    Bones are differences of joints. What stands in front of the streams stays there.
    """
    front, joints = front_of(streams), streams.joints
    own = torch.split(weight, [weight.shape[1] - streams.width, *streams.widths], dim=1)
    still, moving = weight.new_zeros(2, len(weight), front.bodies, joints, 3)
    distance, changing = weight.new_zeros(2, len(weight), len(front.pairs))
    for name, part in zip(streams.names, own[1:], strict=True):
        if name.startswith("distance"):
            target = changing if name.endswith("motion") else distance
            target += part
            continue
        target = moving if name.endswith("motion") else still
        points = part.reshape(len(weight), front.bodies, -1, 3)
        if name.startswith("bone"):
            target.index_add_(2, streams.child, points)
            target.index_add_(2, streams.parent, points, alpha=-1)
        else:
            target += points
    parts = [own[0], still.flatten(1)]
    if front.motion:
        parts.append(moving.flatten(1))
    return torch.cat((*parts, distance, *([changing] if front.changing else [])), dim=1)


def _behind(
    weight: Tensor, bias: Tensor, scale: Tensor | None, shift: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Weight and bias of a map of scale * h + shift, as a map of h."""
    if scale is None or shift is None:
        return weight, bias
    return weight * scale, bias + weight @ shift


def _affine(norm: BatchNormOverTime) -> tuple[Tensor, Tensor]:
    """Scale and shift of a normalisation by its running statistics."""
    inner = norm.norm
    scale = inner.weight.double() * torch.rsqrt(inner.get_buffer("running_var").double() + inner.eps)
    return scale, inner.bias.double() - inner.get_buffer("running_mean").double() * scale
