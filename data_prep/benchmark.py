"""How fast raw recordings become a prepared set, beside a plain reader, on made text of NTU RGB+D's size.

Clip lengths and body counts follow NTU RGB+D 60; what the bodies do does not matter here. The parsers take
turns, round after round, and their medians count.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from action_indrnn.data_prep import made, ntu, pool, skeleton_file, skeleton_parser
from action_indrnn.data_prep.made import MadeClip
from action_indrnn.data_prep.made_sensor import MadeBody

SHORTEST, MEDIAN, LONGEST = 32, 67, 300  # frames of a clip in NTU RGB+D 60
SPREAD = 0.4  # of the logarithm of the length; the mean is then 73 frames
BODY_SHARES = {1: 0.7915, 2: 0.2012, 3: 0.0070, 4: 0.0003}  # clips with so many body ids, 56,578 in all
_STEP = 0.02  # metres that a joint moves from frame to frame
_DISTINCT = 2_000  # recordings; to make more text would take longer than all else
_PARSED = 60  # clips that the parsers take in a turn
_FIRST_ID = 2**56

Parse = Callable[[bytes], object]


@dataclass(frozen=True)
class ParserRow:
    """A parser's speed on one core.

    Attributes:
        name: which.
        speed: MB of text a second.
        ratio: how often as fast as the plain reader.
    """

    name: str
    speed: float
    ratio: float


@dataclass(frozen=True)
class WalkRow:
    """The whole way from a zip archive to a prepared set.

    Attributes:
        workers: processes.
        seconds: wall time of the command, with starting Python and its processes.
        processor_seconds: of all processes together; 0 where the system does not tell.
        clips, megabytes: clips and MB of text a second.
        main_memory, worker_memory: peak MB of the main process and of its largest process; 0 where the system
            does not tell.
    """

    workers: int
    seconds: float
    processor_seconds: float
    clips: float
    megabytes: float
    main_memory: float
    worker_memory: float


def clip_text(name: str, seed: int) -> bytes:
    """The text of a made recording."""
    rng = np.random.default_rng([seed, *ntu.parse_name(name)])
    frames = int(np.clip(np.exp(np.log(MEDIAN) + SPREAD * rng.standard_normal()), SHORTEST, LONGEST))
    count = int(rng.choice(list(BODY_SHARES), p=list(BODY_SHARES.values())))
    bodies = []
    for body in range(count):
        length = frames if body < 2 else int(rng.integers(5, frames))
        stand = np.array([rng.uniform(-1, 1), 0.2, rng.uniform(2, 4)]) + rng.uniform(-0.8, 0.8, (25, 3)) * [
            0.3,
            1,
            0.2,
        ]
        joints = stand + np.cumsum(_STEP * rng.standard_normal((length, 25, 3)), axis=0) / 5
        states = np.where(rng.random((length, 25)) < 0.1, 1, 2).astype(np.uint8)
        bodies.append(MadeBody(_FIRST_ID + 4 * body, np.arange(length), joints, states, None))
    return made.to_text(MadeClip(name, frames, (), tuple(bodies)))


def names(later: bool) -> Iterator[str]:
    """The 56,880 names of NTU RGB+D 60, or the later 57,600 of NTU RGB+D 120."""
    first = set(map(str, ntu.names("ntu60")))
    every = map(str, ntu.names("ntu120" if later else "ntu60"))
    return (name for name in every if not later or name not in first)


def write_archive(path: Path, clips: int, seed: int, *, later: bool = False) -> None:
    """Write a zip archive of made recordings under the first `clips` of the `names`.

    After the first `_DISTINCT` the recordings repeat, packed as they are.
    """
    whole = path.with_name(f"{path.name}.partial")
    bar = tqdm(total=clips, desc="make text", unit=" clips", disable=None, leave=False)
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive, whole.open("rb") as packed, bar:
        for number, name in enumerate(islice(names(later), clips)):
            member = f"nturgb+d_skeletons/{name}.skeleton"
            if number < _DISTINCT:
                archive.writestr(member, clip_text(name, seed))
            else:
                _repeat(archive, packed, archive.filelist[number % _DISTINCT], member)
            bar.update()
    whole.replace(path)


def _repeat(archive: zipfile.ZipFile, packed: IO[bytes], first: zipfile.ZipInfo, name: str) -> None:
    """Write a member's packed bytes once more, under another name."""
    info = zipfile.ZipInfo(name, first.date_time)
    for key in ("compress_type", "CRC", "compress_size", "file_size", "external_attr", "create_system"):
        setattr(info, key, getattr(first, key))
    archive.fp.flush()  # type: ignore[union-attr] # open here
    packed.seek(first.header_offset + len(first.FileHeader()))
    content = packed.read(first.compress_size)
    info.header_offset = archive.start_dir
    archive.fp.seek(archive.start_dir)  # type: ignore[union-attr]
    archive.fp.write(info.FileHeader() + content)  # type: ignore[union-attr]
    archive.start_dir += len(info.FileHeader()) + len(content)
    archive.filelist.append(info)
    archive.NameToInfo[name] = info


def read_archive(path: Path) -> tuple[list[bytes], int, int]:
    """The first texts of an archive, how many there are, and the bytes of all.

    Raises:
        ValueError: not an archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            texts = [archive.read(member) for member in members[:_PARSED]]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: expected a zip archive of made recordings: {error}") from error
    return texts, len(members), sum(member.file_size for member in members)


def read_plainly(data: bytes) -> list[list[dict[str, Any]]]:
    """The bodies of every frame, read line by line with every field through float, ids too."""
    lines = iter(data.decode("ascii").splitlines())
    frames = []
    for _ in range(int(next(lines))):
        bodies = []
        for _ in range(int(next(lines))):
            header = [float(field) for field in next(lines).split()]
            joints = [[float(field) for field in next(lines).split()] for _ in range(int(next(lines)))]
            bodies.append({"id": header[0], "joints": np.array(joints)[:, :3]})
        frames.append(bodies)
    return frames


def parsers(texts: list[bytes], rounds: int) -> list[ParserRow]:
    """The speed of every parser on one core, in processor time; the plain reader first."""
    contenders: dict[str, Parse] = {
        "plain reader, every field through float": read_plainly,
        "Python parser": lambda text: skeleton_file.parse_any(text, "made"),
    }
    if skeleton_parser.reason() == "compiled parser":
        contenders["compiled parser"] = lambda text: skeleton_file.parse(text, "made")
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, parse in contenders.items():
            start = time.process_time()
            for text in texts:
                parse(text)
            times[name].append(time.process_time() - start)
    size = sum(map(len, texts)) / 1e6
    medians = {name: statistics.median(values) for name, values in times.items()}
    plain = next(iter(medians.values()))
    return [ParserRow(name, size / median, plain / median) for name, median in medians.items()]


_RUN = """
import json, sys, time
start = time.perf_counter()
from pathlib import Path
from action_indrnn.data_prep import catalogue, preprocess

if __name__ == "__main__":
    out, workers, data_set, *raw = sys.argv[1:]
    preprocess.preprocess(catalogue.find(data_set), list(map(Path, raw)), Path(out), workers=int(workers))
    seconds, used = time.perf_counter() - start, [0, 0, 0]
    if sys.platform != "win32":
        import resource

        unit = 1e6 if sys.platform == "darwin" else 1e3
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        used = [sum(use.ru_utime + use.ru_stime for use in usage), *(use.ru_maxrss / unit for use in usage)]
    print(json.dumps([seconds, *used]))
"""


def walk(archives: Sequence[Path], out: Path, clips: int, size: int, workers: int) -> WalkRow:
    """The time and memory of `preprocess` in a process of its own: NTU RGB+D 60, of two archives 120.

    Raises:
        OSError: it failed.
    """
    script = out.with_suffix(".py")
    script.write_text(_RUN, encoding="utf-8")
    data_set = "ntu60" if len(archives) == 1 else "ntu120"
    command = [sys.executable, str(script), str(out), str(workers), data_set, *map(str, archives)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"preprocess failed: {done.stderr.strip().splitlines()[-1]}")
    seconds, processor, main, worker = json.loads(done.stdout)
    return WalkRow(workers, seconds, processor, clips / seconds, size / 1e6 / seconds, main, worker)


def run(
    clips: int,
    rounds: int,
    seed: int,
    workers: Sequence[int] = (),
    kept: Path | None = None,
    second: Path | None = None,
) -> Iterator[str]:
    """The lines of a report, each as soon as it is known; what is made is removed.

    Args:
        clips: recordings to make.
        rounds: turns of every parser.
        seed: of the recordings.
        workers: how many processes to prepare with, one after the other; 1 and one a core if none is given.
        kept: an archive that is made if it is not there, and stays.
        second: another, of as many under names that NTU RGB+D 120 adds, to prepare with the first.

    Raises:
        ValueError: they are no archives.
    """
    with tempfile.TemporaryDirectory(prefix="action-indrnn-bench-", dir=kept and kept.parent) as folder:
        archive = kept or Path(folder) / "raw.zip"
        if not archive.exists():
            write_archive(archive, clips, seed)
        if second and not second.exists():
            write_archive(second, clips, seed, later=True)
        archives = [archive, second] if second else [archive]
        texts = read_archive(archive)[0]
        clips, size = (
            sum(values) for values in zip(*(read_archive(path)[1:] for path in archives), strict=True)
        )
        packed = sum(path.stat().st_size for path in archives)
        yield (
            f"{clips:,} made recordings: {size / 1e6:,.0f} MB of text, {packed / 1e6:,.0f} MB in zip archives"
        )
        yield f"\nparsers on one core, median of {rounds:<12}MB/s   as fast as the plain reader"
        for row in parsers(texts, rounds):
            yield f"  {row.name:<41}{row.speed:>7,.0f}   {row.ratio:.1f}"
        head = "seconds  processor s  clips/s   MB/s   peak MB: main, each other"
        yield f"\nzip archive to prepared set  {head}"
        for count in workers or sorted({1, pool.cores()}):
            out = Path(folder) / f"set{count}"
            way = walk(archives, out, clips, size, count)
            processes = f"{count} process" + ("es" if count > 1 else "")
            memory = f"{way.main_memory:.0f}" + (f", {way.worker_memory:.0f}" if count > 1 else "")
            yield (
                f"  {processes:<27}{way.seconds:>7.1f}{way.processor_seconds:>13.1f}{way.clips:>9,.0f}"
                f"{way.megabytes:>7,.0f}   {memory}"
            )
            prepared = sum(file.stat().st_size for file in out.iterdir())
            shutil.rmtree(out)
        yield f"\nthe prepared set takes {prepared / 1e6:,.0f} MB"
