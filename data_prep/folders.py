"""A folder that appears under its name when it is whole, never before."""

import glob
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self


class NewFolder:
    """A folder under a temporary name; `finish` renames it, leaving without that removes it.

    What killed runs have left beside it is removed at the next try, or taken over; a folder that was killed
    while it was being replaced comes back.

    Attributes:
        path: where to write.
        taken_over: whether it holds what a run has left that was cut off.
    """

    def __init__(
        self, out: Path, *, replace: Collection[str] = (), optional: Collection[str] = (), keep: str = ""
    ) -> None:
        """Make the temporary folder.

        Args:
            out: the final name; absent or an empty folder.
            replace: file names; a folder at `out` that holds these and nothing else is replaced in the end.
            optional: of files that it may hold beside these.
            keep: a file name; a temporary folder that holds it outlives Ctrl-C and what the system refuses,
                and the next run takes it over.

        Raises:
            ValueError: `out` is taken.
        """
        self.out = out = out.absolute()
        self.replace = replace
        self.keep = keep
        out.parent.mkdir(parents=True, exist_ok=True)
        leftovers = _leftovers(out, keep)
        if out.exists() and not out.is_dir():
            raise ValueError(f"{out}: expected a new folder, found a file")
        if out.exists() and any(out.iterdir()):
            if not replace:
                raise ValueError(f"{out}: expected a new folder, found one that is not empty")
            found = {entry.name for entry in out.iterdir()}
            if not set(replace) <= found <= {*replace, *optional}:
                odd = ", ".join(sorted(found ^ set(replace))[:3])
                expected = f"a folder of {', '.join(replace)} and nothing else to overwrite"
                raise ValueError(f"{out}: expected {expected}; the difference is {odd}")
        self.path = out.with_name(f"{out.name}.partial-{os.getpid()}")
        self.taken_over = False
        for leftover in leftovers:
            if self.taken_over:
                shutil.rmtree(leftover)
            else:
                self.taken_over = _rename(leftover, self.path)
        if not self.taken_over:
            self.path.mkdir()

    def clear(self) -> None:
        """Throw away what was taken over."""
        shutil.rmtree(self.path)
        self.path.mkdir()
        self.taken_over = False

    def finish(self) -> None:
        """Let the folder appear under its name."""
        _sync(self.path)
        if self.out.exists() and any(self.out.iterdir()) and not self.replace:
            raise ValueError(f"{self.out}: expected a new folder still, found one that another run has made")
        if self.out.exists():
            old = self.out.with_name(f"{self.out.name}.old-{os.getpid()}")
            self.out.rename(old)
            self.path.rename(self.out)
            shutil.rmtree(old)
        else:
            self.path.rename(self.out)
        _sync(self.out.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        cut_off = isinstance(error, KeyboardInterrupt | OSError)
        if self.path.exists() and not (cut_off and self.keep and (self.path / self.keep).is_file()):
            shutil.rmtree(self.path)


def _sync(folder: Path) -> None:
    """Make a folder's entries durable, where the system knows how to."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _leftovers(out: Path, keep: str) -> list[Path]:
    """The temporary folders of killed runs that hold the file `keep`; all others are removed."""
    kept = []
    for leftover in sorted(out.parent.glob(f"{glob.escape(out.name)}.*-*")):
        kind, _, process = leftover.name.removeprefix(f"{out.name}.").partition("-")
        if kind not in ("partial", "old") or not process.isdigit() or _runs(int(process)):
            continue
        if kind == "old" and not out.exists():
            leftover.rename(out)
        elif kind == "partial" and keep and (leftover / keep).is_file():
            kept.append(leftover)
        else:
            shutil.rmtree(leftover)
    return kept


def _rename(leftover: Path, path: Path) -> bool:
    """Take a folder over; False where another run was faster."""
    try:
        leftover.rename(path)
    except FileNotFoundError:
        return False
    return True


def _runs(process: int) -> bool:
    if process == os.getpid():
        return False  # it had our number before us: in a container every run may be process 1
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
