import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from action_indrnn import checkpoint, config, models
from action_indrnn.checkpoint import Card
from action_indrnn.data_prep import layout


def card(**changes) -> Card:
    settings = config.load("dense", ["model.growth_rate=4", "model.blocks=[2,1]"])
    fields = {
        "program": "action-indrnn test",
        "config": settings,
        "dataset": "made",
        "protocol": "xsub",
        "whole": False,
        "classes": ("one", "two", "three"),
        "features": 150,
        "view": "camera",
        "joint_layout": layout.load("ntu25").table(),
        "seed": 0,
        "epochs": 7,
        "clips": (3, 2, 1),
        "held_out": "subjects 4",
    }
    return Card(**{**fields, **changes})


def saved(path: Path) -> torch.nn.Module:
    torch.manual_seed(0)
    model = models.build(card().config.model, 150, 3)
    checkpoint.save_model(path, model, card())
    return model


def test_a_model_file_rebuilds_the_model(tmp_path: Path) -> None:
    model = saved(tmp_path / "a.safetensors")
    found, found_card = checkpoint.load_model(tmp_path / "a.safetensors")
    assert found_card == card()
    assert found_card.layout() == layout.load("ntu25")
    assert not found.training
    for name, value in model.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=0, atol=0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(ValueError, match="expected a model file, found nothing there"):
        checkpoint.load_model(path)
    with pytest.raises(ValueError, match="expected a model file, found a folder"):
        checkpoint.load_model(tmp_path)
    path.write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(ValueError, match="expected a model file: "):
        checkpoint.load_model(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="found other safetensors"):
        checkpoint.load_model(path)
    save_file({"x": torch.zeros(1)}, path, {"action_indrnn": "{}"})
    with pytest.raises(ValueError, match="card of the model file: program: Field required"):
        checkpoint.load_model(path)
    save_file({"x": torch.zeros(1)}, path, {"action_indrnn": card().model_dump_json()})
    with pytest.raises(ValueError, match="weights do not fit the card"):
        checkpoint.load_model(path)
    saved(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="expected a model file: "):
        checkpoint.load_model(path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), checkpoint.replacing(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_checkpoint_is_never_unpickled(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harm",))

    path = tmp_path / "checkpoint.pt"
    torch.save({"model": Harm()}, path)
    with pytest.raises(ValueError, match="expected a checkpoint"):
        checkpoint.load_checkpoint(path.read_bytes(), path, ["step"])
    path.write_bytes(pickle.dumps(Harm(), protocol=2))
    with pytest.raises(ValueError, match="expected a checkpoint"):
        checkpoint.load_checkpoint(path.read_bytes(), path, ["step"])
    assert not (tmp_path / "harm").exists()
    torch.save({}, path)
    with pytest.raises(ValueError, match="expected a checkpoint with step, found another file"):
        checkpoint.load_checkpoint(path.read_bytes(), path, ["step"])
    checkpoint.save_checkpoint(path, {"step": 3, "u": torch.ones(2)})
    assert checkpoint.load_checkpoint(path.read_bytes(), path, ["step"])["step"] == 3
