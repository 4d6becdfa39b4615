"""Surveys raw recordings by their names: what is there, what is missing, what does not belong.

A folder of a whole data set is surveyed in a second: names, sizes and the archives' directories tell it. Only
`read` looks into the recordings.
"""

import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from action_indrnn.data_prep import ntu, pool, skeleton_file, sources
from action_indrnn.data_prep.clip import ClipError
from action_indrnn.data_prep.ntu import ClipName
from action_indrnn.data_prep.sources import Source

SMALL_SETUPS, SMALL_ACTIONS = 17, 60  # of NTU RGB+D 60
LIKELY_LEAST = 2_000  # bytes; one body in one frame takes about 2,500
_CHUNK = 50  # recordings a process reads at once


@dataclass
class Survey:
    """What lies below a path, by names and sizes.

    Attributes:
        recordings: with a clip's name, each once, by name.
        sizes: bytes of each, unpacked.
        copies: recordings whose name was found before.
        others: `.skeleton` recordings whose names are not of NTU's form.
        problems: what cannot be read, with the reason.
        hidden: files that systems leave behind: names that begin with a dot, `__MACOSX`.
        unexpected: all other files.
        archives: zip archives.
        disk: bytes that all of it takes as it lies there.
    """

    recordings: dict[str, Source] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    copies: list[str] = field(default_factory=list)
    others: list[Source] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    archives: list[str] = field(default_factory=list)
    disk: int = 0

    @property
    def clips(self) -> list[ClipName]:
        """What the recordings' names say."""
        return [ntu.parse_name(name) for name in self.recordings]

    @property
    def dataset(self) -> str:
        """The smaller of `ntu60` and `ntu120` that can hold all recordings."""
        large = any(clip.setup > SMALL_SETUPS or clip.action > SMALL_ACTIONS for clip in self.clips)
        return "ntu120" if large else "ntu60"

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
    found = Survey()
    failed: list[OSError] = []
    files = _files(path, failed) if path.is_dir() else iter([path])
    for file in sorted(files):
        if not file.is_file():
            found.problems.append(f"{file}: expected a file, found a folder, a broken link or a device")
            continue
        size = file.stat().st_size
        found.disk += size
        if file.suffix.lower() == ".zip" and not file.name.startswith("."):
            found.archives.append(str(file))
            _take_archive(found, file)
        else:
            _take(found, Source(file), file.relative_to(path).as_posix() if file != path else file.name, size)
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
    except sources.NO_ARCHIVE as error:
        found.problems.append(f"{path}: expected a zip archive: {error}")
        return
    for member in members:
        _take(found, Source(path, member.filename), member.filename, member.file_size)


def _take(found: Survey, source: Source, inner: str, size: int) -> None:
    """Sort one file, or member of an archive, in; `inner` is its path below what is surveyed."""
    if sources.is_hidden(inner):
        found.hidden.append(str(source))
    elif not sources.RECORDING.fullmatch(inner):
        found.unexpected.append(str(source))
    elif not ntu.is_name(source.name):
        found.others.append(source)
    elif source.name in found.recordings:
        found.copies.append(f"{source}: found in {found.recordings[source.name]} too")
    else:
        found.recordings[source.name] = source
        found.sizes[source.name] = size
        if size < LIKELY_LEAST:
            found.problems.append(f"{source}: too small for a recording: {size} bytes")
        elif size > skeleton_file.SIZE_LIMIT:
            found.problems.append(
                f"{source}: expected at most {skeleton_file.SIZE_LIMIT} bytes, found {size}"
            )


@dataclass(frozen=True)
class Contents:
    """What stands in recordings.

    Attributes:
        lengths: frames of each readable one.
        bodies: recordings by number of body ids.
        empty: readable recordings in which nobody stands.
        gaps: recordings in which some frames have no body, but others do.
        damaged: why the others cannot be read.
    """

    lengths: list[int]
    bodies: Counter[int]
    empty: int
    gaps: int
    damaged: list[str]


def read(recordings: list[Source], workers: int = 0) -> Contents:
    """The contents of recordings, parsed in several processes; 0 workers is one a core."""
    chunks = [recordings[at : at + _CHUNK] for at in range(0, len(recordings), _CHUNK)]
    processes = min(workers or pool.cores(), len(chunks))
    results = chain.from_iterable(pool.ordered_map(_read_some, chunks, processes))
    bar = tqdm(results, total=len(recordings), desc="read", unit=" clips", disable=None)
    damaged: list[str] = []
    rows: list[tuple[int, int, int]] = []
    for result in bar:
        if isinstance(result, str):
            damaged.append(result)
        else:
            rows.append(result)
    return Contents(
        lengths=[frames for frames, _, _ in rows],
        bodies=Counter(bodies for _, bodies, _ in rows),
        empty=sum(not seen for _, _, seen in rows),
        gaps=sum(0 < seen < frames for frames, _, seen in rows),
        damaged=damaged,
    )


def _read_some(chunk: list[Source]) -> list[tuple[int, int, int] | str]:
    """Frames, body ids and frames with a body of each recording, or why it cannot be read."""
    results: list[tuple[int, int, int] | str] = []
    for source in chunk:
        try:
            recording = skeleton_file.parse(source.read(), str(source))
        except ClipError as error:
            results.append(str(error))
        except OSError as error:
            results.append(f"{source}: cannot be read: {error.strerror or error}")
        else:
            seen = {frame for track in recording.values() for frame in track.frames.tolist()}
            results.append((recording.frame_count, len(recording), len(seen)))
    return results
