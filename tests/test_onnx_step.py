import json
from pathlib import Path

import numpy as np
import pytest
import torch

from action_indrnn import checkpoint, models, onnx_step

from .test_cli import call
from .test_streaming import recognizer

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


def test_the_exported_step_gives_the_whole_clips_logits(tmp_path: Path, monkeypatch, capsys) -> None:
    network = recognizer()
    model, out = tmp_path / "model.safetensors", tmp_path / "step.onnx"
    checkpoint.save_model(model, network.model, network.card)
    assert call(monkeypatch, "export", model, out) == 0
    told = capsys.readouterr()
    assert "checked       300 frames in a chain, in onnxruntime, batches of 1 and 3" in told.out
    assert told.err == ""
    session = onnx_step.session(out.read_bytes())
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"])[0] == network.card.classes[0]
    x = torch.randn(300, 4, 150)  # longer than any clip, with another batch than the export's own check
    state = np.zeros((4, network.step.width), np.float32)
    for frame in x:
        logits, state = session.run(None, {"features": frame.numpy(), "state": state})
    with torch.inference_mode():
        expected = network.model(x)[0].numpy()
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()
    assert call(monkeypatch, "export", model, out) == 1
    assert "expected a new file" in capsys.readouterr().err


@pytest.mark.parametrize("pooling", ["mean", "both", "attention"])
def test_what_is_gathered_is_exported_for_any_batch(pooling: str, tmp_path: Path) -> None:
    network = recognizer(pooling=pooling)
    model = models.build(network.card.config, 150, len(network.card.classes)).eval()
    difference, frames = onnx_step.export(model, network.card, tmp_path / "step.onnx")
    assert difference < 1e-4
    assert frames == 300


def test_a_wrong_file_is_refused_and_a_state_beyond_float32_ends_the_check(
    tmp_path: Path, monkeypatch
) -> None:
    network, out = recognizer(), tmp_path / "step.onnx"
    monkeypatch.setattr(onnx_step, "TOLERANCE", 1e-12)
    with pytest.raises(ValueError, match="expected torch's logits within 1e-12"):
        onnx_step.export(network.model, network.card, out)
    assert not out.exists()
    monkeypatch.undo()
    for layer in network.model.recurrences():
        layer.u.data.fill_(2)
    difference, frames = onnx_step.export(network.model, network.card, out)
    assert 20 < frames < 200  # 2 ** 128 is too large
    assert difference < 1e-4


def test_a_network_that_needs_the_whole_clip_is_refused(tmp_path: Path) -> None:
    network = recognizer(bidirectional=True)
    with pytest.raises(ValueError, match="walks forwards only"):
        onnx_step.export(network.model, network.card, tmp_path / "step.onnx")
