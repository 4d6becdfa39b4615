"""A folder that appears under its name when it is whole, never before."""

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self


class NewFolder:
    """A folder under a temporary name; `finish` renames it, leaving without that removes it.

    What killed runs have left beside it is removed at the next try; a folder that was killed while it was
    being replaced comes back.

    Attributes:
        path: where to write.
    """

    def __init__(self, out: Path, *, replace: Collection[str] = ()) -> None:
        """Make the temporary folder.

        Args:
            out: the final name; absent or an empty folder.
            replace: file names; a folder at `out` that holds these and nothing else is replaced in the end.

        Raises:
            ValueError: `out` is taken.
        """
        self.out = out = out.absolute()
        self.replace = replace
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(out)
        if out.exists() and not out.is_dir():
            raise ValueError(f"{out}: expected a new folder, found a file")
        if out.exists() and any(out.iterdir()):
            if not replace:
                raise ValueError(f"{out}: expected a new folder, found one that is not empty")
            found = {entry.name for entry in out.iterdir()}
            if found != set(replace):
                odd = ", ".join(sorted(found ^ set(replace))[:3])
                expected = f"a folder of {', '.join(replace)} and nothing else to overwrite"
                raise ValueError(f"{out}: expected {expected}; the difference is {odd}")
        self.path = out.with_name(f"{out.name}.partial-{os.getpid()}")
        self.path.mkdir()

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
        if self.path.exists():
            shutil.rmtree(self.path)


def _sync(folder: Path) -> None:
    """Make a folder's entries durable, where the system knows how to."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove_leftovers(out: Path) -> None:
    for leftover in out.parent.glob(f"{out.name}.*-*"):
        kind, _, process = leftover.name.removeprefix(f"{out.name}.").partition("-")
        if kind in ("partial", "old") and process.isdigit() and not _runs(int(process)):
            if kind == "old" and not out.exists():
                leftover.rename(out)
            else:
                shutil.rmtree(leftover)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
