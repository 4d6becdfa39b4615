"""Finds recordings in files, folders and zip archives, and reads them where they lie."""

import lzma
import os
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from action_indrnn.data_prep.clip import ClipError, printable
from action_indrnn.data_prep.skeleton_file import SIZE_LIMIT, SUFFIX

# What zipfile raises for a file that is no archive it can list: a damaged one, one of a later version of the
# format, a name that is no text.
NO_ARCHIVE = (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError)
# And for a member that it cannot unpack: damage; then RuntimeError for encryption, NotImplementedError for a
# method it lacks. Only zipfile runs where these are caught.
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
PACKED_OTHERWISE = (RuntimeError, NotImplementedError)
UNPACKABLE = (*DAMAGED, *PACKED_OTHERWISE)
_PACKED = 200  # times its packed size; recordings reach about 5
_LEAST = 1_000  # bytes, never called a bomb
RECORDING = re.compile(r".*\.skeleton", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Source:
    """Where one recording lies.

    Attributes:
        path: a `.skeleton` file, or the zip archive that holds it.
        member: the name inside the archive; empty for a plain file.
        problem: why it cannot be read, where that is known before reading; such a source is found, not lost.
    """

    path: Path
    member: str = ""
    problem: str = ""

    @property
    def name(self) -> str:
        """The recording's name without folder and suffix."""
        name = PurePosixPath(self.member or self.path.as_posix()).name
        return name[: -len(SUFFIX)] if name.lower().endswith(SUFFIX) else name

    def __str__(self) -> str:
        return printable(f"{self.path}/{self.member}" if self.member else str(self.path))

    def read(self) -> bytes:
        """The recording's bytes.

        Raises:
            ClipError: too large, damaged inside its archive, or of a known problem.
            OSError: cannot be read.
        """
        if self.problem:
            raise ClipError(f"{self}: {self.problem}")
        if not self.member:
            _check_size(self, self.path.stat().st_size)
            return self.path.read_bytes()
        archive = _open(self.path)
        try:
            info = archive.getinfo(self.member)
            _check_size(self, info.file_size)
            if not is_bomb(info):
                return archive.read(self.member)
        except DAMAGED as error:
            raise ClipError(f"{self}: damaged inside the archive: {error}") from error
        except PACKED_OTHERWISE as error:
            raise ClipError(f"{self}: cannot be unpacked: {error}") from error
        raise ClipError(f"{self}: {bomb_text(info)}")


def is_bomb(info: zipfile.ZipInfo) -> bool:
    """Whether a member of an archive says that it unpacks to what no recording does."""
    return info.file_size > _PACKED * max(info.compress_size, _LEAST)


def bomb_text(info: zipfile.ZipInfo) -> str:
    """What is wrong with such a member."""
    return f"expected at most {_PACKED} times the packed size, found {info.file_size} bytes"


def _check_size(source: Source, size: int) -> None:
    if size > SIZE_LIMIT:
        raise ClipError(f"{source}: expected at most {SIZE_LIMIT} bytes, found {size}")


@lru_cache(maxsize=8)
def _open(path: Path) -> zipfile.ZipFile:
    """One handle for each archive and process: opening reads the directory of all members."""
    return zipfile.ZipFile(path)


def find(
    paths: Iterable[str | Path], wanted: re.Pattern[str] = RECORDING, what: str = SUFFIX
) -> list[Source]:
    """All recordings below the paths, sorted by name, then by place.

    A path is a recording's file, a zip archive (members under any folder), or a folder, which is searched
    through all its subfolders for both. What a folder holds but does not give, such as a damaged archive,
    is a source with a problem.

    Args:
        paths: where to look.
        wanted: fits the whole path of a recording, with forward slashes.
        what: what recordings are called in an error.

    Raises:
        ValueError: a path does not exist or holds no recording, a file is of neither kind or damaged.
    """
    sources: dict[Source, None] = {}
    for given in paths:
        path = Path(given)
        if path.is_dir():
            found = list(_in_folder(path, wanted, what))
        elif not path.exists():
            expected = f"a {what} file, a folder or a zip archive"
            raise ValueError(f"{path}: expected {expected}, found nothing there")
        elif wanted.fullmatch(path.as_posix()):
            found = [Source(path)]
        else:
            found = _in_archive(path, wanted, what)
        if not found:
            raise ValueError(f"{path}: expected {what} recordings, found none")
        sources.update(dict.fromkeys(found))
    return sorted(sources, key=lambda source: (source.name, str(source)))


def is_hidden(path: str) -> bool:
    """Whether a path below what is searched is hidden, or the twin that a Mac keeps of every file."""
    if "/." not in f"/{path}" and "__MACOSX" not in path:  # as nearly all are
        return False
    parts = PurePosixPath(path).parts
    return any(re.match(r"\.(?!\.)|__MACOSX$", part) for part in parts)  # "../x" is not hidden


def _in_folder(folder: Path, wanted: re.Pattern[str], what: str) -> Iterator[Source]:
    failed: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=failed.append):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for path in (Path(parent, name) for name in files + folders):
            if is_hidden(path.name):
                continue
            if wanted.fullmatch(path.as_posix()):
                yield Source(path, problem=_problem(path))
            elif path.suffix.lower() == ".zip" and path.name in files:
                try:
                    yield from _in_archive(path, wanted, what)
                except (ValueError, OSError) as error:
                    yield Source(path, problem=str(error).removeprefix(f"{path}: "))
    for unread in failed:
        yield Source(Path(unread.filename), problem=f"cannot be read: {unread.strerror}")


def _problem(path: Path) -> str:
    """Why a path of a recording's name holds none; empty if it may."""
    try:
        return "" if stat.S_ISREG(path.stat().st_mode) else "expected a file, found a folder or a device"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _in_archive(path: Path, wanted: re.Pattern[str], what: str) -> list[Source]:
    try:
        members = Counter(_open(path).namelist())
    except NO_ARCHIVE as error:
        raise ValueError(f"{path}: expected a {what} file or a zip archive: {error}") from error
    return [
        Source(path, member, repeated(count))
        for member, count in members.items()
        if wanted.fullmatch(member) and not is_hidden(member)
    ]


def repeated(count: int) -> str:
    """What is wrong with a member that stands so many times in an archive's directory; empty for once."""
    return "" if count == 1 else f"expected the member once, found it {count} times"
