"""The prepared set: a folder that holds all clips of a data set, ready to train on.

    joints.npy    (R, V, C) float32, metres: one row for each frame of each actor of each clip; NaN where the
                  actor was not seen. Memory-mapped. Rows of a clip: actor 1's frames in order, then actor
                  2's.
    index.csv     one line a clip: name, start (first row), length (frames T), bodies (actors M), label
                  (0-based), and the data set's own columns, such as subject, camera or fold
    skipped.csv   one line a recording left out: name, source, reason
    dropped.csv   one line a body left out of a clip: name, body, frames, reason
    untrimmed.npz the long recordings that clips were cut from, where the data set has them: see `untrimmed`
    meta.toml     format version, data set, classes, joint layout, preprocessing, protocols, counts

It is written under a temporary name and renamed when it is whole, so a folder of the final name is always
whole; see `set_writer`.
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from action_indrnn.data_prep import untrimmed
from action_indrnn.data_prep.bodies import MOST_ACTORS
from action_indrnn.data_prep.clip import Clip, Floats

FORMAT = 1
META_FILE = "meta.toml"
FILES = ("joints.npy", "index.csv", "skipped.csv", "dropped.csv", META_FILE)
OPTIONAL = (untrimmed.FILE,)
META = ("format", "dataset", "title", "classes", "layout", "preprocessing", "counts", "protocols")
INDEX = ("name", "start", "length", "bodies", "label")  # what every index has


@dataclass(frozen=True)
class PreparedSet:
    """A prepared set on disk.

    Attributes:
        path: its folder.
        index: the clips, as in `index.csv`.
        meta: the content of `meta.toml`.
    """

    path: Path
    index: pd.DataFrame
    meta: dict[str, Any]
    _joints: list[Floats] = field(default_factory=list, repr=False, compare=False)

    @property
    def joints(self) -> Floats:
        """(R, V, C) float32, memory-mapped; see the module's head."""
        if not self._joints:
            self._joints.append(np.load(self.path / "joints.npy", mmap_mode="r").view(np.ndarray))
        return self._joints[0]

    @property
    def classes(self) -> list[str]:
        """K class names by label."""
        return list(self.meta["classes"])

    def column(self, name: str) -> NDArray[np.int64]:
        """(N,) one integer column of the index.

        Raises:
            ValueError: there is none of that name.
        """
        return self.values(name).astype(np.int64)

    def values(self, name: str) -> NDArray[Any]:
        """(N,) one column of the index, whole numbers or words.

        Raises:
            ValueError: there is none of that name.
        """
        if name not in self.index.columns:
            expected = f"a column '{name}'"
            raise ValueError(
                f"{self.path / 'index.csv'}: expected {expected}, found {list(self.index.columns)}"
            )
        return self.index[name].to_numpy()

    def clip(self, number: int) -> Clip:
        """The clip in line `number` of the index."""
        row = self.index.iloc[number]
        bodies, length, start = int(row["bodies"]), int(row["length"]), int(row["start"])
        joints = self.joints[start : start + bodies * length]
        joints = joints.reshape(bodies, length, *joints.shape[1:])
        present = ~np.isnan(joints[:, :, 0, 0])
        return Clip(str(row["name"]), np.where(present[..., None, None], joints, np.float32(0)), present)

    def __getstate__(self) -> dict[str, Any]:
        """Pickles without the joints: a memory map pickles by value."""
        return {**self.__dict__, "_joints": []}


def read(path: str | Path) -> PreparedSet:
    """The prepared set in a folder.

    Raises:
        ValueError: not a prepared set, of another format version, or not whole.
    """
    path = Path(path)
    absent = [name for name in FILES if not (path / name).is_file()]
    if absent:
        raise ValueError(
            f"{path}: expected a prepared set with {', '.join(FILES)}; found no {', '.join(absent)}"
        )
    try:
        meta = tomllib.loads((path / "meta.toml").read_text(encoding="utf-8"))
        index = pd.read_csv(path / "index.csv", dtype={"name": str}, keep_default_na=False)
        joints = np.load(path / "joints.npy", mmap_mode="r")
    except (ValueError, EOFError) as error:  # of tomllib, pandas and numpy alike
        raise ValueError(f"{path}: damaged: {error}") from error
    if meta.get("format") != FORMAT:
        raise ValueError(f"{path}: expected a prepared set of format {FORMAT}, found {meta.get('format')}")
    for what, expected, present in (("meta.toml", META, meta.keys()), ("index.csv", INDEX, index.columns)):
        lacking = [key for key in expected if key not in present]
        if lacking:
            raise ValueError(f"{path / what}: expected {', '.join(expected)}; found no {', '.join(lacking)}")
    _check_index(path, index, len(meta["classes"]))
    shape = (int((index["length"] * index["bodies"]).sum()), len(meta["layout"]["joints"]), 3)
    if joints.shape != shape or joints.dtype != np.float32:
        found = f"{joints.dtype} of {joints.shape}"
        raise ValueError(f"{path / 'joints.npy'}: expected float32 of shape {shape}, found {found}")
    return PreparedSet(path, index, meta)


def _check_index(path: Path, index: pd.DataFrame, classes: int) -> None:
    """Raises ValueError at the first line of the index that cannot be."""
    rows = (index["length"] * index["bodies"]).cumsum()
    good = (index["start"] == rows.shift(fill_value=0)) & (index["length"] >= 1)
    good &= index["bodies"].between(1, MOST_ACTORS) & index["label"].between(0, classes - 1)
    if not good.all():
        line = int(np.flatnonzero(~good)[0])
        found = ", ".join(f"{column} {index[column][line]}" for column in INDEX[1:5])
        raise ValueError(
            f"{path / 'index.csv'}:{line + 2}: expected rows behind those before, up to {MOST_ACTORS} bodies "
            f"and a label below {classes}; found {found}"
        )
