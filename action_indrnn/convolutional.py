"""The convolutional IndRNN.

Shapes: `T` frames, `B` clips in a batch, `F` features, `H` units, `K` classes; sequences are time-major.
Source: Li et al., arXiv 1910.06251, as in Sunnydreamrain/IndRNN_pytorch.
"""

from torch import Tensor, nn

from action_indrnn.blocks import left, read, recurrent_block
from action_indrnn.classifier import Classifier, Recur
from action_indrnn.layers import Convolution
from action_indrnn.networks import Convolutional


class ConvolutionalLayer(nn.Module):
    """A convolution of every frame along the joints of each body, then a recurrence in every place.

    Every unit of a feature map has a recurrent weight of its own, as the papers' equation has it (one weight
    a hidden unit, W x replaced by a convolution): so each joint keeps its own memory, and only the
    convolution is shared between places. The normalisation is that of feature maps: one for each channel.

    Shapes: `M` bodies, `P` places, `C` channels; units are (M, P, C), channels last.
    """

    def __init__(
        self,
        config: Convolutional,
        bodies: int,
        places: int,
        inputs: int,
        channels: int,
        stride: int,
        last: bool,
    ) -> None:
        super().__init__()
        self.shape = (places, inputs)
        self.places = (places - 1) // stride + 1
        self.convolution = Convolution(inputs, channels, config.kernel, stride)
        self.units = bodies * self.places * channels
        dropout = left(config, config.dropout) if last else config.dropout
        self.block = recurrent_block(config, self.units, dropout, last=last, channels=channels)

    def forward(self, x: Tensor, h0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns the output (T, B, H) and the last state (B, H)."""
        maps = x.reshape(-1, *self.shape).transpose(1, 2)  # (T * B * M, C, P)
        y = self.convolution(maps).transpose(1, 2)
        return self.block(y.reshape(*x.shape[:2], self.units), h0)  # type: ignore[no-any-return]


class ConvolutionalIndRNN(Classifier):
    """A stack of convolutional layers; each but the first halves the places."""

    def __init__(self, config: Convolutional, features: int = 150, classes: int = 60) -> None:
        bodies, rest = divmod(features, 3 * config.joints)
        if rest or not bodies:
            raise ValueError(
                f"model.joints: expected bodies of {config.joints} joints in 3 coordinates, "
                f"{3 * config.joints} features each, found {features} features"
            )
        layers = []
        places, inputs = config.joints, 3
        for index, channels in enumerate(config.channels):
            last = index == len(config.channels) - 1
            layer = ConvolutionalLayer(config, bodies, places, inputs, channels, 2 if index else 1, last)
            layers.append(layer)
            places, inputs = layer.places, channels
        super().__init__(features, classes, layers[-1].units, **read(config, config.dropout))
        self.layers = nn.ModuleList(layers)

    def body(self, x: Tensor, recur: Recur) -> Tensor:
        """Returns the feature maps of the last layer, (T, B, H)."""
        for layer in self.layers:
            x = recur(layer, x)
        return x
