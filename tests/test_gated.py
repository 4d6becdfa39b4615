import pytest
import torch

from action_indrnn.gated import GatedLayer


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_layer_is_torch_s_with_its_whole_state(kind: str) -> None:
    torch.manual_seed(0)
    layer = GatedLayer(kind, 3, 4, 0.5).eval()
    x, before = torch.randn(6, 2, 3), torch.randn(2, layer.units)
    h0 = before[None, :, :4].contiguous()
    start = (h0, before[None, :, 4:].contiguous()) if kind == "lstm" else h0
    expected, end = layer.recurrence(x, start)
    y, after = layer(x, before)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(after[:, :4], expected[-1])
    if kind == "lstm":
        torch.testing.assert_close(after[:, 4:], end[1][0])
    torch.testing.assert_close(layer(x)[0], layer.recurrence(x)[0])


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_a_reversed_layer_is_the_layer_on_a_clip_turned_round(kind: str) -> None:
    layer = GatedLayer(kind, 3, 4, 0.0)
    x = torch.randn(6, 2, 3)
    ahead, state = layer(x.flip(0))
    layer.reverse = True
    back, end = layer(x)
    torch.testing.assert_close(back, ahead.flip(0))
    torch.testing.assert_close(end, state)
    torch.testing.assert_close(end[:, :4], back[0])


def test_a_dropped_unit_is_gone_for_a_whole_clip() -> None:
    torch.manual_seed(0)
    layer = GatedLayer("gru", 3, 50, 0.5)
    gone = layer(torch.randn(6, 2, 3))[0] == 0
    assert (gone.all(dim=0) == gone.any(dim=0)).all()
    assert 0.2 < gone.float().mean() < 0.8
