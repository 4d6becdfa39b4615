import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from action_indrnn import checkpoint, config, evaluation, mirror_images, outcome, schedule, training
from action_indrnn.config import Config
from action_indrnn.data_prep.archive import PreparedSet
from action_indrnn.layers import IndRNN
from action_indrnn.training import Run

TINY = ("model.units=16", "model.blocks=1", "train.batch=8", "train.validation_passes=2", "evaluate.passes=3")


def tiny(*overrides: str) -> Config:
    return config.load("residual", (*TINY, "train.learning_rate=2e-3", "train.max_epochs=3", *overrides))


def run(prepared: PreparedSet, out: Path, *overrides: str) -> outcome.Result:
    a_run = Run(tiny(*overrides), prepared, "xsub", out)
    a_run.start()
    return a_run.train()


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in ("metrics.csv", "report.json", "model.safetensors")}


def test_same_seed_same_bytes_and_other_seed_others(made_set: PreparedSet, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(np.random.default_rng().integers(2**32))  # what ran before must not matter
        run(made_set, tmp_path / name, f"train.seed={seed}")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a")["metrics.csv"] != contents(tmp_path / "c")["metrics.csv"]


VARIED = ("data.rotation=20", "data.scaling=0.1")
EVERYTHING = (
    *VARIED,
    "train.weight_average=0.9", "train.schedule=cosine", "train.warm_up=1", "train.accumulate=2",
    "train.label_smoothing=0.1", "train.precision=bfloat16",
)  # fmt: skip


@pytest.mark.parametrize(
    ("at", "more"), [(0, ()), (2, ()), (5, ()), (7, ()), (1, EVERYTHING), (7, EVERYTHING)]
)  # of 9 steps
def test_resumed_is_identical_to_uninterrupted(
    made_set: PreparedSet, tmp_path: Path, monkeypatch, at: int, more: tuple[str, ...]
) -> None:
    run(made_set, tmp_path / "whole", *more)
    stopped = Run(tiny(*more), made_set, "xsub", tmp_path / "parts")
    stopped.start()
    step = Run._step
    done = 0

    def interrupting(self: Run, *arguments) -> torch.Tensor:
        nonlocal done
        if done == at:
            os.kill(os.getpid(), signal.SIGINT)
        done += 1
        return step(self, *arguments)

    monkeypatch.setattr(Run, "_step", interrupting)
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    resumed = Run(tiny(*more), made_set, "xsub", tmp_path / "parts")
    resumed.resume()
    resumed.train()
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_killed_at_any_moment_the_next_run_completes(made_set: PreparedSet, tmp_path: Path) -> None:
    run(made_set, tmp_path / "whole", "train.max_epochs=20")
    script = tmp_path / "run.py"
    settings = [*TINY, "train.learning_rate=2e-3", "train.max_epochs=20"]
    script.write_text(
        "import sys; from pathlib import Path; import torch; torch.set_num_threads(1)\n"
        "from action_indrnn import config, training; from action_indrnn.data_prep import archive\n"
        f"run = training.Run(config.load('residual', {settings!r}), archive.read(sys.argv[1]), 'xsub', "
        "Path(sys.argv[2]))\n"
        "run.resume(); run.train()\n"
    )
    out = tmp_path / "killed"
    command = [sys.executable, str(script), str(made_set.path), str(out)]
    for wanted in ("config.toml", "checkpoint.pt", "checkpoint.pt"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (out / wanted).exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(0.02)
        process.kill()
        process.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert contents(out) == contents(tmp_path / "whole")
    assert not list(out.glob("*.partial-*"))


def test_a_longer_run_goes_on_from_a_finished_one(made_set: PreparedSet, tmp_path: Path) -> None:
    run(made_set, tmp_path / "whole", "train.max_epochs=4")
    run(made_set, tmp_path / "parts", "train.max_epochs=2")
    longer = Run(tiny("train.max_epochs=4"), made_set, "xsub", tmp_path / "parts")
    longer.resume()
    longer.train()
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_metrics_and_report_say_what_happened(made_set: PreparedSet, tmp_path: Path) -> None:
    result = run(made_set, tmp_path / "run", "train.max_epochs=12")
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    best = max(rows, key=lambda row: (float(row["validation_accuracy"]), -float(row["validation_loss"])))
    assert result.best_epoch == int(best["epoch"])
    assert result.validation_accuracy == float(best["validation_accuracy"])
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["top1"] == result.report.top(1)
    assert report["clips"] == 15
    assert report["passes"] == 3
    assert config.load(tmp_path / "run" / "config.toml") == tiny("train.max_epochs=12")
    card = checkpoint.load_card(result.model)
    assert card.measured is not None
    assert card.measured.top1 == report["top1"]
    assert (card.protocol, card.dataset, card.epochs) == ("xsub", "made", result.best_epoch)
    assert sum(card.clips) == 60


def test_recurrent_weights_stay_in_their_bound(made_set: PreparedSet, tmp_path: Path) -> None:
    a_run = Run(tiny("train.learning_rate=0.5", "train.max_epochs=1"), made_set, "xsub", tmp_path / "run")
    a_run.start()
    a_run.train()
    layers = [module for module in a_run.model.modules() if isinstance(module, IndRNN)]
    assert len(layers) == 3
    reached = max(float(layer.u.detach().abs().max()) for layer in layers)
    assert reached == pytest.approx(5 ** (1 / 20), rel=1e-6)


def test_the_rate_drops_and_ends_the_run_with_the_best_weights(made_set: PreparedSet, tmp_path: Path) -> None:
    # far too high a rate: hardly any validation is better, so the rate falls and falls
    result = run(
        made_set, tmp_path / "run", 'train.max_epochs="none"', "train.patience=1",
        "train.learning_rate_min=1e-3", "train.learning_rate=0.1",
    )  # fmt: skip
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    assert sorted(set(rates), reverse=True) == pytest.approx([0.1, 0.01, 0.001])
    assert rates == sorted(rates, reverse=True)
    assert result.epochs == len(rates)


def test_a_taken_folder_is_refused_and_kept(made_set: PreparedSet, tmp_path: Path) -> None:
    run(made_set, tmp_path / "run", "train.max_epochs=1")
    before = contents(tmp_path / "run")
    again = Run(tiny(), made_set, "xsub", tmp_path / "run")
    with pytest.raises(ValueError, match="holds a run; go on with it"):
        again.start()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"expected a new folder, found thesis\.tex"):
        Run(tiny(), made_set, "xsub", tmp_path / "other").start()
    for wrong, what in (
        (Run(tiny("train.batch=4"), made_set, "xsub", tmp_path / "run"), "train.batch 4, found 8"),
        (Run(tiny("model.units=8"), made_set, "xsub", tmp_path / "run"), "model.units 8, found 16"),
        (Run(tiny(), made_set, "xview", tmp_path / "run"), "protocol xview, found xsub"),
    ):
        with pytest.raises(ValueError, match=f"expected .*{what}"):
            wrong.resume()
    whole = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    for damage in (b"", whole[:10000], whole[:100]):
        (tmp_path / "run" / "checkpoint.pt").write_bytes(damage)
        with pytest.raises(ValueError, match=r"checkpoint\.pt: expected a checkpoint"):
            again.resume()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"damage")
    with pytest.raises(ValueError, match="expected a checkpoint"):
        again.resume()
    assert contents(tmp_path / "run") == before


def test_a_run_is_never_shortened(made_set: PreparedSet, tmp_path: Path) -> None:
    run(made_set, tmp_path / "run", "train.max_epochs=2")
    with pytest.raises(ValueError, match=r"expected at most 1 epochs .*found 2 trained"):
        Run(tiny("train.max_epochs=1"), made_set, "xsub", tmp_path / "run").resume()
    assert "max_epochs = 2" in (tmp_path / "run" / "config.toml").read_text()


def test_another_number_of_threads_is_another_run(made_set: PreparedSet, tmp_path: Path, monkeypatch) -> None:
    run(made_set, tmp_path / "run", "train.max_epochs=1")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    with pytest.raises(ValueError, match="number of threads 7, found 1"):
        Run(tiny(), made_set, "xsub", tmp_path / "run").resume()


def test_a_loss_that_explodes_is_an_error(made_set: PreparedSet, tmp_path: Path, monkeypatch) -> None:
    a_run = Run(tiny(), made_set, "xsub", tmp_path / "run")
    a_run.start()
    with torch.no_grad():
        a_run.model.classifier.weight.fill_(torch.inf)
    with pytest.raises(ValueError, match="expected a finite loss, found nan in epoch 1, step 1"):
        a_run.train()


def test_a_penalty_draws_recurrent_weights_back(made_set: PreparedSet, tmp_path: Path) -> None:
    options = ("model.bound=penalty", "model.bound_penalty=1e4", "train.max_epochs=1")
    a_run = Run(tiny(*options), made_set, "xsub", tmp_path / "run")
    layers = list(a_run.model.recurrences())
    for layer in layers:
        layer.u.data.fill_(layer.bound + 0.1)
    a_run.start()
    a_run._epoch(threading.Event(), a_run._bar())
    moved = 2e-3 * a_run.batches.steps  # Adam's step is the learning rate where a gradient keeps its sign
    for layer in layers:
        torch.testing.assert_close(
            layer.u.detach(), torch.full((16,), layer.bound + 0.1 - moved), atol=1e-4, rtol=0
        )


def test_the_number_of_frames_is_drawn_for_every_batch(made_set: PreparedSet, tmp_path: Path) -> None:
    a_run = Run(tiny("data.frames_deviation=5", "train.max_epochs=3"), made_set, "xsub", tmp_path / "run")
    lengths: list[int] = []
    a_run.model.first.register_forward_hook(
        lambda module, inputs, output: lengths.append(len(inputs[0])) if module.training else None
    )
    a_run.start()
    a_run.train()
    assert len(lengths) == 3 * a_run.batches.steps
    assert len(set(lengths)) > 3
    assert 5 <= min(lengths) < 20 < max(lengths) <= 40


def test_the_average_is_validated_and_saved(made_set: PreparedSet, tmp_path: Path) -> None:
    a_run = Run(tiny("train.weight_average=0.9", "train.max_epochs=1"), made_set, "xsub", tmp_path / "run")
    a_run.start()
    result = a_run.train()
    saved, _ = checkpoint.load_model(result.model)
    for name, value in saved.state_dict().items():
        assert torch.equal(value, a_run.learner.judged.state_dict()[name])
    assert not torch.equal(saved.classifier.weight, a_run.model.classifier.weight)
    logits = evaluation.scores(
        saved, a_run.clips, a_run.split.validation, frames=20, passes=2, batch=a_run.settings.evaluate.batch
    )
    labels = a_run.labels[a_run.split.validation]
    assert result.validation_accuracy == (logits.argmax(axis=-1) == labels).mean()


def test_without_validation_all_train_and_the_last_weights_are_kept(
    made_set: PreparedSet, tmp_path: Path
) -> None:
    a_run = Run(tiny("train.validation=none", "train.schedule=cosine"), made_set, "xsub", tmp_path / "run")
    held = Run(tiny("train.schedule=cosine"), made_set, "xsub", tmp_path / "other")
    assert len(a_run.split.train) == len(held.split.train) + len(held.split.validation)
    a_run.start()
    result = a_run.train()
    assert result.best_epoch == result.epochs == 3
    assert np.isnan(result.validation_accuracy)
    saved, card = checkpoint.load_model(result.model)
    assert card.clips == (len(a_run.split.train), 0, len(a_run.split.test))
    for name, value in saved.state_dict().items():
        assert torch.equal(value, a_run.model.state_dict()[name])


def test_a_small_set_is_trained_for_the_least_steps(made_set: PreparedSet, tmp_path: Path) -> None:
    more = ("train.min_steps=18", "train.schedule=cosine", "train.validation=none")
    a_run = Run(tiny(*more), made_set, "xsub", tmp_path / "run")
    assert a_run.epochs == -(-18 // a_run.batches.steps) > 3
    a_run.start()
    result = a_run.train()
    assert result.best_epoch == result.epochs == a_run.epochs
    assert config.load(tmp_path / "run" / "config.toml") == a_run.settings


def test_epochs_that_follow_fast_share_a_checkpoint(
    made_set: PreparedSet, tmp_path: Path, monkeypatch
) -> None:
    saved = []
    save = Run._save
    monkeypatch.setattr(Run, "_save", lambda run: saved.append(run.progress.epoch) or save(run))
    monkeypatch.setattr(training, "SAVE_SECONDS", 1e9)
    run(made_set, tmp_path / "rarely", "train.max_epochs=4")
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
    run(made_set, tmp_path / "always", "train.max_epochs=4")
    assert saved == [1, 4, 1, 2, 3, 4]
    assert contents(tmp_path / "rarely") == contents(tmp_path / "always")


def test_the_rate_of_every_step_is_the_schedule_s(made_set: PreparedSet, tmp_path: Path) -> None:
    more = ("train.schedule=cosine", "train.warm_up=1", "train.learning_rate_min=1e-3")
    a_run = Run(tiny(*more), made_set, "xsub", tmp_path / "run")
    rates = []
    step = a_run.learner.step
    a_run.learner.step = lambda parts, rate: rates.append(rate) or step(parts, rate)
    a_run.start()
    a_run.train()
    train = a_run.settings.train
    assert rates == [schedule.rate(train, train.learning_rate, number, 3) for number in range(9)]
    with pytest.raises(ValueError, match=r"expected train\.max_epochs 4, found 3"):
        Run(tiny(*more, "train.max_epochs=4"), made_set, "xsub", tmp_path / "run").resume()


def test_it_says_what_is_not_mirrored(made_set: PreparedSet, tmp_path: Path, monkeypatch) -> None:
    def text(prepared: PreparedSet, *overrides: str) -> str:
        return Run(tiny(*overrides), prepared, "xsub", tmp_path / "out").as_text()

    assert "mirror" not in text(made_set) + text(made_set, "data.mirror=0.2")
    names = made_set.classes
    images = [mirror_images.NONE, *range(1, len(names) - 1), mirror_images.NONE]
    monkeypatch.setattr(mirror_images, "classes_of", lambda *_: images)
    wanted = (
        f"not mirrored, for their mirror images look like clips of another class: {names[0]}, {names[-1]}"
    )
    assert text(made_set, "data.mirror=0.2").endswith(f"test\n{wanted}")
    joints = {**made_set.meta["layout"], "pairs": []}
    hand = replace(made_set, meta={**made_set.meta, "layout": joints})
    wanted = f"nothing is mirrored: {joints['name']} has no left and right joints"
    assert text(hand, "data.mirror=0.2").endswith(f"test\n{wanted}")
