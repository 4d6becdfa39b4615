"""Surveys raw recordings by their names: what is there, what is missing, what does not belong.

A folder of a whole data set is surveyed in a second: names, sizes and the archives' directories tell it. Only
`read` looks into the recordings.
"""

import os
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from action_indrnn.data_prep import ntu, pool, skeleton_file, sources
from action_indrnn.data_prep.clip import ClipError
from action_indrnn.data_prep.ntu import ClipName
from action_indrnn.data_prep.sources import Source

SMALL_SETUPS, SMALL_ACTIONS = 17, 60  # of NTU RGB+D 60
LIKELY_LEAST = 2_000  # bytes; one body in one frame takes about 2,500
_BLOCK = 512  # bytes, of `st_blocks`
_CHUNK = 50  # recordings a process reads at once


@dataclass
class Survey:
    """What lies below a path, by names and sizes.

    Attributes:
        path: what was surveyed.
        recordings: with a clip's name, each once, by name; of several the first that may be whole.
        copies: the other places of each that has several.
        flawed: the names of those of which no place can be whole.
        others: `.skeleton` recordings whose names are not of NTU's form.
        files: bytes, unpacked, of every file that is not hidden, those inside of archives too.
        problems: what cannot be read, with the reason.
        hidden: files that systems leave behind: names that begin with a dot, `__MACOSX`.
        unexpected: all other files.
        archives: zip archives.
        disk: bytes that all of it takes as it lies there.
    """

    path: Path
    recordings: dict[str, Source] = field(default_factory=dict)
    copies: dict[str, list[Source]] = field(default_factory=dict)
    flawed: set[str] = field(default_factory=set)
    others: list[Source] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    disk: int = 0

    @cached_property
    def clips(self) -> list[ClipName]:
        """What the recordings' names say."""
        return [ntu.parse_name(name) for name in self.recordings]

    @cached_property
    def dataset(self) -> str:
        """The smaller of `ntu60` and `ntu120` that can hold all recordings."""
        large = any(clip.setup > SMALL_SETUPS or clip.action > SMALL_ACTIONS for clip in self.clips)
        return "ntu120" if large else "ntu60"

    @property
    def text(self) -> int:
        """Bytes, unpacked, of the recordings that may be whole."""
        whole = (source for name, source in self.recordings.items() if name not in self.flawed)
        return sum(self.files[str(source)] for source in whole)

    def usable(self) -> set[str]:
        """The recordings that a data set takes, by what their names and sizes say."""
        dataset = self.dataset
        named = {str(clip) for clip in self.clips if not _impossible(clip, dataset)}
        return named - ntu.missing() - self.flawed

    def places(self) -> list[tuple[Source, ...]]:
        """All places of every recording, those of other names too."""
        named = [(source, *self.copies.get(name, ())) for name, source in self.recordings.items()]
        return [*named, *((source,) for source in self.others)]

    def impossible(self) -> list[str]:
        """Why recordings cannot belong to NTU RGB+D, whatever their names look like."""
        dataset = self.dataset
        return [reason for clip in self.clips if (reason := _impossible(clip, dataset))]

    def strangers(self) -> list[str]:
        """Recordings of performers that NTU does not have in that setup, with names like its own."""
        return [
            f"{clip}: no clip of NTU RGB+D: performer {clip.subject} is not in its setup {clip.setup}"
            for clip in self.clips
            if clip.subject not in ntu.performers().get(clip.setup, ())
        ]

    def absent(self) -> list[str]:
        """The clips that should lie beside those that are there.

        Who performed once in a setup performed all of its 60 actions before three cameras: every group of
        NTU's name lists (setup, performer, replication) has all 180 names. Clips on the authors' list of
        missing skeletons are not counted.
        """
        groups = {(clip.setup, clip.subject, clip.replication) for clip in self.clips}
        return [
            name
            for clip in ntu.names(self.dataset)
            if (clip.setup, clip.subject, clip.replication) in groups
            and (name := str(clip)) not in self.recordings
            and name not in ntu.missing()
        ]


def _impossible(clip: ClipName, dataset: str) -> str:
    try:
        ntu.check_name(clip, dataset)
    except ClipError as error:
        return str(error)
    return ""


def survey(path: Path) -> Survey:
    """The survey of a folder with all its subfolders, a zip archive, or one file.

    Raises:
        ValueError: nothing there, or an archive that is none.
    """
    if not path.exists():
        raise ValueError(f"{path}: expected a folder, a zip archive or a file, found nothing there")
    found = Survey(path)
    failed: list[OSError] = []
    files = _files(path, failed) if path.is_dir() else iter([path])
    for file in sorted(files):
        if not file.is_file():
            found.problems.append(f"{file}: expected a file, found a folder, a broken link or a device")
            continue
        state = file.stat()
        # A file with holes takes less than its size.
        found.disk += min(state.st_size, getattr(state, "st_blocks", sys.maxsize) * _BLOCK)
        if file.suffix.lower() == ".zip" and not file.name.startswith("."):
            found.archives.append(str(file))
            _take_archive(found, file)
        else:
            inner = file.relative_to(path).as_posix() if file != path else file.name
            _take(found, Source(file), inner, state.st_size)
    if path.is_file() and found.archives and found.problems and not found.files:
        raise ValueError(found.problems[0])
    found.problems += [f"{error.filename}: cannot be read: {error.strerror}" for error in failed]
    return found


def _files(folder: Path, failed: list[OSError]) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, onerror=failed.append):
        named = (name for name in folders if sources.RECORDING.fullmatch(name))  # like recordings
        yield from (Path(parent, name) for name in (*names, *named))


def _take_archive(found: Survey, path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except (OSError, *sources.NO_ARCHIVE) as error:
        found.problems.append(f"{path}: expected a zip archive: {error}")
        return
    times = Counter(member.filename for member in members)
    for name, member in {member.filename: member for member in members}.items():
        problem = sources.bomb_text(member) if sources.is_bomb(member) else sources.repeated(times[name])
        _take(found, Source(path, name, problem), name, member.file_size)


def _take(found: Survey, source: Source, inner: str, size: int) -> None:
    """Sort one file, or member of an archive, in; `inner` is its path below what is surveyed."""
    if sources.is_hidden(inner):
        found.hidden.append(str(source))
        return
    found.files[str(source)] = size
    if not sources.RECORDING.fullmatch(inner):
        found.unexpected.append(str(source))
        return
    name, flaw = source.name, source.problem
    if size < LIKELY_LEAST:
        flaw = f"too small for a recording: {size} bytes"
    elif size > skeleton_file.SIZE_LIMIT:
        flaw = f"expected at most {skeleton_file.SIZE_LIMIT} bytes, found {size}"
    if flaw:
        found.problems.append(f"{source}: {flaw}")
    if not ntu.is_name(name):
        found.others.append(source)
    elif name not in found.recordings:
        found.recordings[name] = source
        if flaw:
            found.flawed.add(name)
    elif name in found.flawed and not flaw:
        found.copies.setdefault(name, []).append(found.recordings[name])
        found.recordings[name] = source
        found.flawed.remove(name)
    else:
        found.copies.setdefault(name, []).append(source)


@dataclass(frozen=True)
class Contents:
    """What stands in recordings.

    Attributes:
        lengths: frames of each readable one.
        bodies: recordings by number of body ids.
        empty: readable recordings in which nobody stands.
        gaps: recordings in which some frames have no body, but others do.
        damaged: why the others, or copies of these, cannot be read.
        good: whether somebody stands in each recording that was to be read, or in a copy of it.
    """

    lengths: list[int]
    bodies: Counter[int]
    empty: int
    gaps: int
    damaged: list[str]
    good: list[bool]


def read(recordings: list[tuple[Source, ...]], workers: int = 0) -> Contents:
    """The contents of recordings, parsed in several processes; 0 workers is one a core.

    Of a recording's places the first counts in which somebody stands.
    """
    chunks = [recordings[at : at + _CHUNK] for at in range(0, len(recordings), _CHUNK)]
    processes = min(workers or pool.cores(), len(chunks))
    results = chain.from_iterable(pool.ordered_map(_read_some, chunks, processes))
    bar = tqdm(results, total=len(recordings), desc="read", unit=" clips", disable=None)
    damaged: list[str] = []
    rows: list[tuple[int, int, int]] = []
    good: list[bool] = []
    for row, reasons in bar:
        damaged += reasons
        rows += [row] if row else []
        good.append(bool(row and row[2]))
    return Contents(
        lengths=[frames for frames, _, _ in rows],
        bodies=Counter(bodies for _, bodies, _ in rows),
        empty=sum(not seen for _, _, seen in rows),
        gaps=sum(0 < seen < frames for frames, _, seen in rows),
        damaged=damaged,
        good=good,
    )


def _read_some(chunk: list[tuple[Source, ...]]) -> list[tuple[tuple[int, int, int] | None, list[str]]]:
    """Frames, body ids and frames with a body of each recording, and why places of it cannot be read."""
    results: list[tuple[tuple[int, int, int] | None, list[str]]] = []
    for places in chunk:
        row: tuple[int, int, int] | None = None
        damaged: list[str] = []
        for source in places:
            try:
                recording = skeleton_file.parse(source.read(), str(source))
            except ClipError as error:
                damaged.append(str(error))
                continue
            except OSError as error:
                damaged.append(f"{source}: cannot be read: {error.strerror or error}")
                continue
            seen = {frame for track in recording.values() for frame in track.frames.tolist()}
            row = recording.frame_count, len(recording), len(seen)
            if seen:
                break
        results.append((row, damaged))
    return results
