"""Writes a prepared set, whose form `archive` tells, so that a run that was cut off can go on.

The files grow under a temporary name. `progress.json` beside them says how much of each is safe on the disk,
and of which work it is: the same work goes on from there, and its set is the same to the byte.
"""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import tomli_w

from action_indrnn.data_prep.archive import FILES, FORMAT, INDEX, OPTIONAL
from action_indrnn.data_prep.bodies import Dropped
from action_indrnn.data_prep.clip import Clip
from action_indrnn.data_prep.folders import NewFolder

PROGRESS = "progress.json"


class Writer:
    """Writes a prepared set, clip by clip, with memory for one clip.

    Use as a context manager; `finish` makes the set appear under its name, and leaving without it removes
    everything written, unless there is a `checkpoint` and it was Ctrl-C or the system that ended the run.

    Attributes:
        clips, rows, skipped: how many were written.
        note: the note of the checkpoint that is gone on from; None at the start of a set.
        stale: whether another work's unfinished set was found, and removed.
    """

    def __init__(
        self,
        out: Path,
        joint_shape: tuple[int, int],
        columns: Iterable[str],
        *,
        overwrite: bool = False,
        work: str = "",
    ) -> None:
        """Begin a set, or go on with one that was cut off.

        Args:
            out: the set's folder, new.
            joint_shape: (V, C) of every clip.
            columns: the index's, beside those of every set.
            overwrite: replace a prepared set at `out` in the end.
            work: a fingerprint of all that decides what the set will hold; only an unfinished set of the same
                is gone on with. Without any there are no checkpoints.

        Raises:
            ValueError: `out` is taken.
        """
        self.folder = NewFolder(
            out, replace=FILES if overwrite else (), optional=OPTIONAL, keep=PROGRESS if work else ""
        )
        self.joint_shape = joint_shape
        self.clips = self.rows = self.skipped = 0
        self.note: dict[str, Any] | None = None
        self._work = work
        self._tables: list[IO[str]] = []
        self._columns = (*INDEX, *columns)
        sizes = self._resume() if self.folder.taken_over else {}
        self.stale = self.folder.taken_over and not sizes
        if self.stale:
            self.folder.clear()
        self._joints: IO[bytes] = (self.folder.path / "joints.npy").open("r+b" if sizes else "wb")
        self._header = len(self._joints_header())
        if sizes:
            self._joints.truncate(sizes["joints.npy"])
            self._joints.seek(0, os.SEEK_END)
        else:
            self._joints.write(self._joints_header())
        self._index = self._table("index.csv", self._columns, sizes)
        self._skipped = self._table("skipped.csv", ("name", "source", "reason"), sizes)
        self._dropped = self._table("dropped.csv", ("name", "body", "frames", "reason"), sizes)

    def _resume(self) -> dict[str, int]:
        """How much of each file of the set that was cut off is safe; nothing if it is another work's."""
        path = self.folder.path
        found = json.loads((path / PROGRESS).read_text(encoding="utf-8"))
        sizes: dict[str, int] = found["sizes"]
        there = {file.name: file.stat().st_size for file in path.iterdir()}
        if found["work"] != self._work or any(there.get(name, -1) < size for name, size in sizes.items()):
            return {}
        self.clips, self.rows, self.skipped = found["counts"]
        self.note = found["note"]
        return sizes

    def _table(self, name: str, columns: Iterable[str], sizes: Mapping[str, int]) -> Any:
        path = self.folder.path / name
        if sizes:
            os.truncate(path, sizes[name])
        mode = "a" if sizes else "w"
        file = path.open(mode, encoding="utf-8", errors="backslashreplace", newline="")
        self._tables.append(file)
        writer = csv.writer(file, lineterminator="\n")
        if not sizes:
            writer.writerow(columns)
        return writer

    def _joints_header(self) -> bytes:
        buffer = io.BytesIO()
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.rows, *self.joint_shape)}
        np.lib.format.write_array_header_1_0(buffer, header)
        return buffer.getvalue()

    def add(self, clip: Clip, columns: Mapping[str, int | str], dropped: Iterable[Dropped]) -> None:
        """Append a clip.

        Args:
            clip: its joints have the set's (V, C).
            columns: label and the set's own columns.
            dropped: the bodies that are not in it.
        """
        bodies, length = clip.present.shape
        if clip.joints.shape[2:] != self.joint_shape:
            raise ValueError(
                f"{clip.name}: expected joints {self.joint_shape}, found {clip.joints.shape[2:]}"
            )
        joints = np.where(clip.present[..., None, None], clip.joints, np.float32(np.nan))
        self._joints.write(joints.astype("<f4").tobytes())
        row = {**columns, "name": clip.name, "start": self.rows, "length": length, "bodies": bodies}
        self._index.writerow([row[column] for column in self._columns])
        for body in dropped:
            self._dropped.writerow([clip.name, body.body_id, body.frames, body.reason])
        self.clips += 1
        self.rows += bodies * length

    def skip(self, name: str, source: str, reason: str) -> None:
        """Record a recording that is left out."""
        self._skipped.writerow([name, source, reason])
        self.skipped += 1

    def checkpoint(self, note: Mapping[str, Any]) -> None:
        """Make all that was written safe, and remember that it is.

        Args:
            note: what JSON holds and the next run needs to go on.
        """
        sizes = {}
        for file in self._files():
            file.flush()
            os.fsync(file.fileno())
            sizes[Path(file.name).name] = os.fstat(file.fileno()).st_size
        counts = (self.clips, self.rows, self.skipped)
        content = {"work": self._work, "sizes": sizes, "counts": counts, "note": note}
        new = self.folder.path / f"{PROGRESS}.new"
        with new.open("w", encoding="utf-8") as text:
            json.dump(content, text)
            text.flush()
            os.fsync(text.fileno())
        new.replace(self.folder.path / PROGRESS)

    def finish(self, meta: Mapping[str, Any]) -> None:
        """Complete the set and let it appear under its name."""
        header = self._joints_header()
        if len(header) != self._header:
            raise RuntimeError(f"expected a header of {self._header} bytes, found {len(header)}")
        self._joints.seek(0)
        self._joints.write(header)
        (self.folder.path / "meta.toml").write_text(
            tomli_w.dumps({"format": FORMAT, **meta}), encoding="utf-8"
        )
        self._close(sync=True)
        for name in (PROGRESS, f"{PROGRESS}.new"):
            (self.folder.path / name).unlink(missing_ok=True)
        self.folder.finish()

    def _files(self) -> list[IO[Any]]:
        return [self._joints, *self._tables]

    def _close(self, *, sync: bool) -> None:
        for file in self._files():
            if sync:
                file.flush()
                os.fsync(file.fileno())
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk refuses the last buffers; what counts is the first error
            self._close(sync=False)
        self.folder.__exit__(kind, error, trace)
