"""The README's commands and Python, as they stand in it."""

import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
MADE, NTU = (
    [line.removeprefix("$ ") for line in block.splitlines()]
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
)
(PYTHON,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(command: str, folder: Path, *more: str) -> str:
    program, *arguments = shlex.split(command)
    assert program == "action-indrnn"
    found = subprocess.run(
        [sys.executable, "-m", "action_indrnn", *arguments, *more], cwd=folder, capture_output=True, text=True
    )
    assert found.returncode == 0, f"{command}\n{found.stdout}{found.stderr}"
    return found.stdout


def test_the_walk_on_made_data(tmp_path: Path) -> None:
    outputs = [run(command, tmp_path) for command in MADE]
    assert [command.split()[1] for command in MADE] == [
        "make-data",
        "preprocess",
        "train",
        "evaluate",
        "classify",
    ]
    top1 = float(re.search(r"top-1 ([\d.]+)%", outputs[3])[1])
    assert top1 > 60  # the table below it says about 80, a single frame gives about 45
    found = subprocess.run(
        [sys.executable, "-c", PYTHON], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    # the API and the command line say the same
    assert [line.split() for line in found.stdout.splitlines()] == [
        line.split() for line in outputs[4].splitlines()[1:4]
    ]


def test_the_walk_on_ntu_with_made_clips_in_its_place(made_raw: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "nturgbd_skeletons_s001_to_s017.zip", "w") as archive:
        for file in made_raw.iterdir():
            archive.write(file, f"nturgb+d_skeletons/{file.name}")
    (tmp_path / "S001C001P001R001A001.skeleton").write_bytes(min(made_raw.iterdir()).read_bytes())
    outputs = [
        run(command, tmp_path, *("--set", "train.max_epochs=1") if " train " in command else ())
        for command in NTU
    ]
    assert "60 of 56,578 usable clips" in outputs[0]
    assert "2,751,548 parameters" in outputs[1]
    assert "partial set" in outputs[2]
    assert len(outputs[3].splitlines()) == 4


@pytest.mark.parametrize(
    "name", ["action_indrnn", "kernels", "data_prep", "configs", "tests", "cli.py", "dev.py"]
)
def test_the_layout_names_what_is_there(name: str) -> None:
    assert re.search(rf"^    {name}/? ", README, re.MULTILINE)
    assert (Path(__file__).resolve().parent.parent / name).exists()
