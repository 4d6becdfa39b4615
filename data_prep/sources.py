"""Finds `.skeleton` recordings in files, folders and zip archives, and reads them where they lie."""

import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from action_indrnn.data_prep.clip import ClipError
from action_indrnn.data_prep.skeleton_file import SIZE_LIMIT

SUFFIX = ".skeleton"


@dataclass(frozen=True)
class Source:
    """Where one recording lies.

    Attributes:
        path: a `.skeleton` file, or the zip archive that holds it.
        member: the name inside the archive; empty for a plain file.
    """

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """The recording's name without folder and suffix."""
        return PurePosixPath(self.member or self.path.as_posix()).name.removesuffix(SUFFIX)

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    def read(self) -> bytes:
        """The recording's bytes.

        Raises:
            ClipError: too large, or damaged inside its archive.
            OSError: cannot be read.
        """
        if not self.member:
            _check_size(self, self.path.stat().st_size)
            return self.path.read_bytes()
        archive = _open(self.path)
        try:
            _check_size(self, archive.getinfo(self.member).file_size)
            return archive.read(self.member)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ClipError(f"{self}: damaged inside the archive: {error}") from error
        except (
            RuntimeError,
            NotImplementedError,
        ) as error:  # zipfile's errors for encryption and rare methods
            raise ClipError(f"{self}: cannot be unpacked: {error}") from error


def _check_size(source: Source, size: int) -> None:
    if size > SIZE_LIMIT:
        raise ClipError(f"{source}: expected at most {SIZE_LIMIT} bytes, found {size}")


@lru_cache(maxsize=8)
def _open(path: Path) -> zipfile.ZipFile:
    """One handle for each archive and process: opening reads the directory of all members."""
    return zipfile.ZipFile(path)


def find(paths: Iterable[str | Path]) -> list[Source]:
    """All recordings below the paths, sorted by name, then by place.

    A path is a `.skeleton` file, a zip archive (members under any folder), or a folder, which is searched
    through all its subfolders for both.

    Raises:
        ValueError: a path does not exist or holds no recording, a file is of neither kind, an archive is
            damaged.
    """
    sources: dict[Source, None] = {}
    for given in paths:
        path = Path(given)
        if path.is_dir():
            files = sorted(
                file for file in path.rglob("*") if file.suffix in (SUFFIX, ".zip") and file.is_file()
            )
            found = [source for file in files for source in _in_file(file)]
        elif not path.exists():
            raise ValueError(
                f"{path}: expected a {SUFFIX} file, a folder or a zip archive, found nothing there"
            )
        else:
            found = _in_file(path)
        if not found:
            raise ValueError(f"{path}: expected {SUFFIX} recordings, found none")
        sources.update(dict.fromkeys(found))
    return sorted(sources, key=lambda source: (source.name, str(source)))


def _in_file(path: Path) -> list[Source]:
    if path.suffix == SUFFIX:
        return [Source(path)]
    try:
        members = _open(path).namelist()
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: expected a {SUFFIX} file or a zip archive: {error}") from error
    return [Source(path, member) for member in members if _is_recording(member)]


def _is_recording(member: str) -> bool:
    twin = PurePosixPath(member).name.startswith("._")  # which Mac archives hold of every file
    return member.endswith(SUFFIX) and not twin
