import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from action_indrnn import config, networks
from action_indrnn.config import ConfigError, load


@pytest.mark.parametrize("name", config.names())
def test_shipped_configurations_load_and_survive_a_round_trip(name: str, tmp_path: Path) -> None:
    shipped = load(name)
    (tmp_path / "again.toml").write_text(config.dump(shipped), encoding="utf-8")
    assert load(tmp_path / "again.toml") == shipped


@given(
    title=st.text(),
    blocks=st.lists(st.integers(1, 10**9), min_size=1),
    rate=st.floats(0, exclude_min=True, allow_infinity=False),
    epochs=st.none() | st.integers(1),
)
def test_any_values_survive_a_round_trip(
    title: str, blocks: list[int], rate: float, epochs: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    written = config.Config(
        title=title,
        model=networks.Dense(blocks=tuple(blocks)),
        train=config.Train(learning_rate=rate, max_epochs=epochs),
        published=(config.Published(dataset="ntu60", protocol="xsub", source=title, paper=50),),
    )
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(config.dump(written).encode())
    assert load(path) == written


@pytest.mark.parametrize("blocks", ["[]", "[2, 0]", "[2.0]", "'8'"])
def test_a_wrong_list_is_one_problem(blocks: str) -> None:
    with pytest.raises(ConfigError) as error:
        load("dense", [f"model.blocks={blocks}"])
    expected = "override model.blocks: expected a non-empty list, each element an integer >= 1, found "
    assert str(error.value).startswith(expected)
    assert "\n" not in str(error.value)


def test_published_settings() -> None:
    plain, residual, dense = (load(name) for name in ("plain", "residual", "dense"))
    assert (plain.model.layers, plain.model.units, plain.model.dropout) == (6, 512, 0.4)
    assert (residual.model.blocks, residual.model.units, residual.model.dropout) == (5, 512, 0.5)
    assert (dense.model.growth_rate, dense.model.blocks) == (48, (8, 6, 4))
    for one in (plain, residual, dense):
        assert one.train.batch == 128
        assert one.train.learning_rate == 2e-4
        assert one.train.weight_decay == 1e-4
        assert one.train.gradient_clip == 10
        assert one.train.patience in (100, 150)
        assert (one.data.frames, one.model.length, one.model.magnification) == (20, 20, 5)
        assert (one.train.validation_passes, one.evaluate.passes) == (5, 20)
        assert one.train.max_epochs is None
        assert one.published
    augmented = load("dense_fa_geo")
    assert augmented.model == dense.model.model_copy(update={"geometry": True, "time_difference": True})
    assert augmented.evaluate.passes == 40


@pytest.mark.parametrize("name", ["live", "best"])
def test_the_recipes_at_ntu_s_size_are_the_recipes(name: str) -> None:
    small, large = load(name), load(f"{name}_ntu")
    assert large.data == small.data.model_copy(update={"frames": 64})
    assert large.evaluate == small.evaluate
    kept = ("dropout", "dropout_mask", "pooling", "bidirectional", "input_norm", "input_clip")
    assert [getattr(large.model, key) for key in kept] == [getattr(small.model, key) for key in kept]
    assert (large.beside is None) == (small.beside is None) == (name == "live")
    if small.beside is not None and large.beside is not None:
        own = {"channels", "layers", "units", "length"}
        assert large.beside.model_dump(exclude=own) == small.beside.model_dump(exclude=own)
    assert (large.train.label_smoothing, large.train.validation, large.train.schedule) == (
        0.1,
        "none",
        "cosine",
    )


def test_overrides() -> None:
    changed = load(
        "residual", ["train.batch=64", "model.dropout = 0.25", "train.validation=clips", 'title="a = b"']
    )
    assert (changed.train.batch, changed.model.dropout, changed.train.validation) == (64, 0.25, "clips")
    assert changed.title == "a = b"
    assert load("demo", ["train.max_epochs=none"]).train.max_epochs is None
    assert load("dense", ["model.blocks=[2, 1]"]).model.blocks == (2, 1)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lrr=1", "override train.lrr: unknown key; did you mean 'train.learning_rate'?"),
        ("train.batchs=1", "unknown key; did you mean 'train.batch'?"),
        ("model.unit=1", "unknown key; did you mean 'model.units'?"),
        ("trian.batch=1", "unknown key; did you mean 'train'?"),
        ("train.dropout=0.1", "unknown key; did you mean 'model.dropout'?"),
        (
            "model.growth_rate=3",
            "override model.growth_rate: unknown key; "
            "known are model.pooling, model.dropout_mask, model.bidirectional",
        ),
        ("model.input_clip=3", "override model: input_clip expects input_norm true, found false beside"),
        ("train.batch=many", "override train.batch: expected an integer >= 1, found 'many'"),
        ("train.batch=0", "expected an integer >= 1, found 0"),
        ("train.batch=true", "expected an integer >= 1, found True"),
        ("train.learning_rate=nan", "override train.learning_rate: expected a number > 0"),
        ("train.learning_rate=inf", "override train.learning_rate: expected a number > 0, found inf"),
        ("model.dropout=1.0", "override model.dropout: expected a number >= 0 and < 1, found 1.0"),
        ("train.seed=-1", "expected an integer >= 0 and < 4294967296, found -1"),
        ("train.batch=1\nx=2", r"expected an integer >= 1, found '1\nx=2'"),
        ("model.norm=none", "expected one of 'after', 'before', found 'none'"),
        ("model.kind=rnn", "'residual', 'dense', 'convolutional', 'graph', 'lstm', 'gru', found 'rnn'"),
        ("model.pooling=max", "expected one of 'last', 'mean', 'both', 'attention', found 'max'"),
        ("train=3", "override train: expected"),
        ("train.batch", "override 'train.batch': expected key=value"),
        ("train.accumulate=3", "override train: accumulate expects a divisor of batch 128, found 3"),
        ("train.accumulate=0", "override train.accumulate: expected an integer >= 1, found 0"),
        ("train.schedule=cosine", "train: schedule 'cosine' expects a number of max_epochs, found none"),
        ("train.validation=none", "train: validation 'none' expects schedule 'cosine', found 'steps'"),
        ("train.schedule=linear", "expected one of 'steps', 'cosine', found 'linear'"),
        ("train.warm_up=-1", "expected an integer >= 0, found -1"),
        ("train.label_smoothing=1.0", "expected a number >= 0 and < 1, found 1.0"),
        ("train.weight_average=1.5", "expected a number >= 0 and < 1, found 1.5"),
        ("train.precision=float16", "expected one of 'float32', 'bfloat16', found 'float16'"),
        ("data.rotation=200", "expected a number >= 0 and <= 180, found 200"),
        ("data.scaling=-0.1", "expected a number >= 0 and < 1, found -0.1"),
        ("train.compile=1", "expected true or false, found 1"),
        ("train.batch.size=3", "override train.batch: expected an integer >= 1, found {'size': 3}"),
    ],
)
def test_wrong_settings_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load("residual", [override])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_that_do_not_fit_each_other_are_named() -> None:
    for overrides, message in (
        (("train.warm_up=5", "train.max_epochs=4"), "warm_up expects at most max_epochs 4, found 5"),
        (
            ("train.schedule=cosine", "train.max_epochs=4", "train.learning_rate_min=1.0"),
            "schedule 'cosine' expects learning_rate_min <= learning_rate 0.0002, found 1",
        ),
        (("train.min_steps=10",), "min_steps 10 expects a number of max_epochs, found none"),
        (("data.sampling=whole", "data.speed=0.5"), "gives every clip as many steps and expects speed 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            load("residual", overrides)


def test_all_problems_are_told_with_their_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[model]\nkind = "plain"\nblocks = 3\n[train]\nbatch = -1\n')
    with pytest.raises(ConfigError) as error:
        load(path)
    lines = str(error.value).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{path}: ") for line in lines)


def test_problems_in_a_list_of_tables_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[model]\nkind = "plain"\n[[published]]\ndataset = "ntu60"\nprotocol = "xsub"\nsource = "a"\n'
        '[[published]]\ndataset = "ntu60"\nprotocol = "xsub"\npaper = 101.0\nlogs = 3.0\n'
    )
    with pytest.raises(ConfigError) as error:
        load(path)
    told = {line.removeprefix(f"{path}: ") for line in str(error.value).splitlines()}
    assert told == {
        "published.source: missing",
        "published.paper: expected a number >= 0 and <= 100 or none, found 101.0",
        "published.logs: unknown key; did you mean 'published.log'?",
    }
    for wrong in ("3", "[3]"):
        with pytest.raises(ConfigError, match="override published: expected a list, each element a table"):
            load("plain", [f"published={wrong}"])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(ConfigError, match=r"mine\.toml: No such file"):
        load(path)
    path.write_text("[train]\nbatch = = 3\n")
    with pytest.raises(ConfigError, match=r"mine\.toml: .*line 2, column 9"):
        load(path)
    path.write_bytes(b"title = '\xff'")
    with pytest.raises(ConfigError, match="expected UTF-8 text"):
        load(path)
    path.write_text("[train]\nbatch = 3\n")
    with pytest.raises(
        ConfigError,
        match=r"model\.kind: expected one of 'plain', .*, 'gru', found none",
    ):
        load(path)
    with pytest.raises(ConfigError, match="residul: unknown configuration; did you mean 'residual'"):
        load("residul")


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load("demo").train.batch = 3


def test_loads_no_torch() -> None:
    program = "import sys, action_indrnn.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_no_activation_is_the_identity() -> None:
    assert load("plain", ["model.activation=none"]).model.activation == "identity"
