"""Raw recordings to a prepared set, in several processes, with bounded memory."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from action_indrnn import __version__
from action_indrnn.data_prep import (
    bodies,
    fingerprint,
    ntu,
    pool,
    posture,
    recordings,
    skeleton_parser,
    sources,
    untrimmed,
)
from action_indrnn.data_prep.clip import ClipError, printable
from action_indrnn.data_prep.data_set import DataSet, Left, Sample
from action_indrnn.data_prep.fingerprint import Plan
from action_indrnn.data_prep.layout import Layout
from action_indrnn.data_prep.normalize import VIEWS, View, normalize
from action_indrnn.data_prep.posture import Doubt
from action_indrnn.data_prep.protocols import TEST, TRAIN
from action_indrnn.data_prep.recordings import Outcome, Recipe
from action_indrnn.data_prep.set_writer import Writer
from action_indrnn.data_prep.sources import Source

CHUNK = 25  # recordings a process takes at once
CHECKPOINT_SECONDS = 5.0
POOL_FROM = 100  # recordings; starting processes costs about half a second


@dataclass(frozen=True)
class Summary:
    """What a run made.

    Attributes:
        clips, skipped, dropped: clips in the set, recordings left out, bodies left out of clips.
        whole: whether these are all usable clips of the data set.
        counts: training and test clips by protocol.
        doubts: how many clips of a reader of its own look wrong, by what; see `posture`.
    """

    clips: int
    skipped: int
    dropped: int
    whole: bool
    counts: dict[str, tuple[int, int]]
    doubts: Mapping[Doubt, int] = field(default_factory=dict)


_Entry = tuple[list[Left], Sample | None]  # of one recording: what of it is left out, what is taken


@dataclass
class _Tally:
    """What is counted on the way; a checkpoint's note.

    Attributes:
        done: recordings that are in the set or left out.
        first: why the first of those was left out.
        dropped: bodies left out of clips.
        counts: training and test clips by protocol.
    """

    done: int = 0
    first: str = ""
    dropped: int = 0
    counts: dict[str, list[int]] = field(default_factory=dict)


def preprocess(
    data_set: DataSet,
    raw: Sequence[Path],
    out: Path,
    *,
    view: View = "camera",
    recipe: Recipe = "tracks",
    workers: int = 0,
    overwrite: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> Summary:
    """Write the prepared set of all recordings in `raw`.

    A recording that cannot become a clip is recorded in `skipped.csv` and never stops the run. A run over
    `.skeleton` recordings that was cut off is gone on with by the same call.

    Args:
        data_set: says what the clips are called and mean.
        raw: files, folders, zip archives.
        out: the set's folder, new.
        view: see `normalize`.
        recipe: see `recordings.choose`; clips that were made before keep theirs.
        workers: processes; 0 for one a core.
        overwrite: replace a prepared set at `out`, once the new one is whole.
        say: is told at the start what a user should know.

    Raises:
        ValueError: `raw` holds no usable clip, `out` is taken, the recipe or the clips know no such view or
            data, or a whole data set has other counts than published.
    """
    _check_options(data_set, view, recipe)
    joint_layout = data_set.joint_layout()
    options = {"view": view, "recipe": data_set.recipe or recipe}
    doubts: Counter[Doubt] = Counter()
    plan = None if data_set.samples else _plan(data_set, raw)
    work = fingerprint.of(data_set, options, plan) if plan else ""
    shape = (len(joint_layout.joints), 3)
    with Writer(out, shape, data_set.columns, overwrite=overwrite, work=work) as writer:
        tally = _Tally(**writer.note) if writer.note else _Tally()
        for line in (*data_set.notes, *_to_know(plan, tally, stale=writer.stale)):
            say(line)
        if data_set.samples and (told := posture.unchecked(joint_layout)):
            say(told)
        entries = (
            _recordings(plan, tally.done, data_set, view, recipe, workers)
            if plan
            else _samples(data_set, raw)
        )
        saved = time.monotonic()
        with closing(entries):
            for lost, sample in entries:
                for left in lost:
                    writer.skip(left.name, left.source, left.reason)
                    tally.first = tally.first or left.reason
                if sample:
                    clip = sample.clip
                    if data_set.samples is not None:
                        doubts.update(posture.doubts(clip, joint_layout))
                        clip = clip if view == data_set.view else normalize(clip, joint_layout, view)
                    writer.add(clip, sample.columns, sample.dropped)
                    tally.dropped += len(sample.dropped)
                    _count(tally.counts, data_set, sample)
                tally.done += 1
                if plan and time.monotonic() - saved >= CHECKPOINT_SECONDS:
                    writer.checkpoint(asdict(tally))
                    saved = time.monotonic()
        if not writer.clips:
            told = f"; the first: {tally.first}" if tally.first else ""
            raise ValueError(
                f"expected recordings of {data_set.name}, found none usable in {writer.skipped}{told}"
            )
        whole = writer.clips == data_set.clip_count
        divided = {name: (tally.counts[name][0], tally.counts[name][1]) for name in data_set.protocols}
        if whole and divided != data_set.counts:
            raise ValueError(
                f"{data_set.name}: expected the published counts {data_set.counts}, found {divided}"
            )
        summary = Summary(writer.clips, writer.skipped, tally.dropped, whole, divided, doubts)
        if data_set.untrimmed is not None and (whole_ones := data_set.untrimmed(raw)):
            untrimmed.write(writer.folder.path, whole_ones)
        writer.finish(_meta(data_set, joint_layout, options, summary, writer.rows))
    return summary


def _check_options(data_set: DataSet, view: View, recipe: Recipe) -> None:
    """Raises ValueError where a data set's clips cannot become what is asked for."""
    if recipe == "ctr-gcn" and (view not in ("camera", "raw") or data_set.samples is not None):
        raise ValueError("the recipe ctr-gcn: expected .skeleton recordings and the view camera or raw")
    known: tuple[View, ...] = VIEWS
    if data_set.view == "camera":
        known = ("camera", "first-frame", "whole-clip")
    elif data_set.view in ("first-frame", "whole-clip"):
        known = ("first-frame", "whole-clip")
    if view not in known:
        raise ValueError(
            f"{data_set.title}: expected the view {' or '.join(known)}, as its clips were made with "
            f"'{data_set.view}', which cannot be undone; found '{view}'"
        )
    joint_layout = data_set.joint_layout()
    if view in ("first-frame", "whole-clip") and view != data_set.view and not joint_layout.across:
        raise ValueError(
            f"{joint_layout.name}: expected a line 'across' in the layout for the view {view}, found none"
        )


def _to_know(plan: Plan | None, tally: _Tally, *, stale: bool) -> Iterator[str]:
    if stale:
        yield "starts anew: the run cut off here had other recordings or options, or was of another program"
    elif tally.done and plan:
        yield f"goes on: {tally.done:,} of {len(plan):,} recordings were done by a run that was cut off"
    if plan and skeleton_parser.reason() != "compiled parser":
        yield f"slow: {skeleton_parser.reason()}"


def _count(counts: dict[str, list[int]], data_set: DataSet, entry: Sample) -> None:
    for name, protocol in data_set.protocols.items():
        role = protocol.role(int(entry.columns[protocol.column]), int(entry.columns["label"]))
        both = counts.setdefault(name, [0, 0])
        both[0] += role == TRAIN
        both[1] += role == TEST


def _samples(data_set: DataSet, raw: Sequence[Path]) -> Generator[_Entry]:
    """The clips of a data set that has a reader of its own."""
    assert data_set.samples is not None
    seen: set[str] = set()
    for entry in tqdm(data_set.samples(raw), desc="preprocess", unit=" clips", disable=None):
        if isinstance(entry, Sample) and entry.clip.name in seen:
            name = entry.clip.name
            yield [Left(name, name, f"{name}: expected each clip once, found it again")], None
        elif isinstance(entry, Sample):
            seen.add(entry.clip.name)
            yield [], entry
        else:
            yield [entry], None


def _plan(data_set: DataSet, raw: Sequence[Path]) -> Plan:
    """What is to be read, and what is left out unread."""
    left: list[Left] = []
    wanted: dict[str, list[Source]] = {}
    for source in sources.find(raw):
        reason = _reason_to_skip(source, data_set)
        if reason:
            left.append(Left(printable(source.name), str(source), reason))
        else:
            wanted.setdefault(source.name, []).append(source)
    return Plan(left, [tuple(places) for places in wanted.values()])


def _recordings(
    plan: Plan, done: int, data_set: DataSet, view: View, recipe: Recipe, workers: int
) -> Generator[_Entry]:
    """The clips of a plan's recordings behind the first `done`, normalised; first what is left out unread."""
    yield from (([left], None) for left in plan.left[done:])
    read = max(done - len(plan.left), 0)
    outcomes = _outcomes(plan.wanted[read:], data_set, view, recipe, workers)
    bar = tqdm(outcomes, total=len(plan.wanted), initial=read, desc="preprocess", unit=" clips", disable=None)
    for outcome in bar:
        lost = [Left(printable(source.name), str(source), reason) for source, reason in outcome.skipped]
        if outcome.clip is None:
            yield lost, None
            continue
        clip, dropped = outcome.clip
        name = ntu.parse_name(clip.name)
        yield lost, Sample(clip, {**name._asdict(), "label": name.action - 1}, tuple(dropped))


def _reason_to_skip(source: Source, data_set: DataSet) -> str:
    """Why a recording is left out before it is read; empty if it is not."""
    if source.problem:
        return f"{source}: {source.problem}"
    try:
        data_set.check(ntu.parse_name(source.name))
    except ClipError as error:
        return str(error)
    if data_set.is_missing(source.name):
        return f"{source.name}: on the data set's list of missing or incomplete skeletons"
    return ""


def _meta(
    data_set: DataSet, joint_layout: Layout, options: Mapping[str, str], summary: Summary, rows: int
) -> dict[str, object]:
    return {
        "program": f"action-indrnn {__version__}",
        "dataset": data_set.name,
        "title": data_set.title,
        "classes": list(data_set.classes),
        "preprocessing": {**options, "most_actors": bodies.MOST_ACTORS},
        "counts": {
            "clips": summary.clips,
            "rows": rows,
            "skipped": summary.skipped,
            "dropped_bodies": summary.dropped,
            "clips_of_whole_set": data_set.clip_count,
            "whole": summary.whole,
        },
        "protocols": {
            name: {**protocol.table(), "clips": list(summary.counts[name])}
            for name, protocol in data_set.protocols.items()
        },
        "layout": joint_layout.table(),
    }


def _outcomes(
    wanted: list[tuple[Source, ...]], data_set: DataSet, view: View, recipe: Recipe, workers: int
) -> Iterator[Outcome]:
    """The outcome of each recording, in order."""
    chunks = [wanted[at : at + CHUNK] for at in range(0, len(wanted), CHUNK)]
    processes = 1 if len(wanted) < POOL_FROM else min(workers or pool.cores(), len(chunks))
    work = partial(recordings.prepare, layout_name=data_set.layout, view=view, recipe=recipe)
    return chain.from_iterable(pool.ordered_map(work, chunks, processes))
