import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from action_indrnn import live
from action_indrnn.live import LimitError, Live
from action_indrnn.recognizer import Recognizer
from action_indrnn.streaming import feed_all

from .conftest import person
from .serving import line
from .test_frame_lines import answers
from .test_streaming import recognizer, walk


@pytest.fixture(scope="module")
def network() -> Recognizer:
    return recognizer()


@pytest.fixture
def some(network: Recognizer) -> Iterator[Live]:
    made = Live(network, network.stream, 3, 2)
    yield made
    made.shut()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 10))


def test_producers_are_answered_as_the_stream_command_answers(network: Recognizer, some: Live) -> None:
    lines = {
        seed: [line({1: one}, time=t / 30) for t, one in enumerate(walk(9, seed=seed))] for seed in (0, 1)
    }

    async def send(seed: int) -> list[dict[str, Any]]:
        producer = some.open(f"camera {seed}", 2)
        return [json.loads(await some.answer(producer, text)) for text in lines[seed]]

    async def both() -> list[list[dict[str, Any]]]:
        return await asyncio.gather(send(0), send(1))

    for seed, found in enumerate(run(both())):
        alone = answers(network, "\n".join(lines[seed]).encode())[1]
        assert [one["line"] for one in found] == list(range(1, 10))
        for one, other in zip(found, alone, strict=True):
            for ours, theirs in zip(one["people"][0]["top"], other["people"][0]["top"], strict=True):
                assert ours["probability"] == pytest.approx(theirs["probability"], abs=2e-6)


def test_frames_that_wait_are_stepped_together(some: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    busy = threading.Event()

    def counted(frames: Any) -> Any:
        sizes.append(len(frames))
        if len(sizes) == 1:
            busy.wait(5)
        return feed_all(frames)

    monkeypatch.setattr(live, "feed_all", counted)

    async def work() -> None:
        producers = [some.open("", 1) for _ in range(3)]
        first = asyncio.create_task(some.answer(producers[0], line()))
        while not sizes:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(some.answer(one, line())) for one in producers[1:]]
        await asyncio.sleep(0.02)  # the loop runs while the thread works
        busy.set()
        await asyncio.gather(first, *others)

    run(work())
    assert sizes == [1, 2]


def test_frames_do_not_wait_for_whole_clips(
    network: Recognizer, some: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = threading.Event()
    classify = network.classify

    def slow(clip: Any) -> Any:
        assert busy.wait(5)
        return classify(clip)

    monkeypatch.setattr(network, "classify", slow)

    async def work() -> dict[str, Any]:
        one, other = some.open("", 1), some.open("", 1)
        for text in ('{"clip": "begin"}', line()):
            await some.answer(one, text)
        whole = asyncio.create_task(some.answer(one, '{"clip": "end"}'))
        for frame in range(3):
            assert json.loads(await some.answer(other, line()))["frame"] == frame
        assert not whole.done()
        busy.set()
        return json.loads(await whole)

    found = run(work())
    assert (found["line"], found["clip"], found["frames"]) == (3, "end", 1)


def test_a_bad_line_is_its_producers_alone(some: Live) -> None:
    nan = line({1: person() * float("nan")})

    async def work() -> list[str]:
        producers = [some.open("", 1) for _ in range(3)]
        return await asyncio.gather(
            some.answer(producers[0], line()), some.answer(producers[1], nan), some.answer(producers[2], "{")
        )

    good, bad, worse = (json.loads(text) for text in run(work()))
    assert good["frame"] == 0
    assert (bad["field"], bad["error"][:30]) == ("bodies[0].joints[0]", "body 1: base of spine: expecte")
    assert worse["error"].startswith("expected JSON")


def test_an_error_of_ours_reaches_all_who_wait(some: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(frames: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(live, "feed_all", broken)
    with pytest.raises(RuntimeError, match="broken"):
        run(some.answer(some.open("", 1), line()))


def test_watchers_see_the_frames_with_all_classes(network: Recognizer, some: Live) -> None:
    one = some.open("camera", 1)
    watcher = some.watch()
    later = some.open("x" * 200, 1)

    async def work() -> list[dict[str, Any]]:
        await some.answer(one, line({9: person()}, time=4.0))
        some.close(later, "gone")
        return [json.loads(await watcher.next()) for _ in range(4)]

    first, opened, frame, closed = run(work())
    assert first == {"streams": [{"stream": one.number, "name": "camera"}]}
    assert opened == {"opened": {"stream": later.number, "name": "x" * live.NAME_LIMIT}}
    assert frame["stream"] == one.number
    assert frame["bodies"][0]["joints"] == [round(value, 4) for value in person().ravel().tolist()]
    assert len(frame["answer"]["people"][0]["top"]) == len(network.card.classes)
    assert closed["closed"]["reason"] == "gone"


def test_a_watcher_who_is_too_slow_loses_the_oldest(some: Live) -> None:
    watcher = some.watch()
    producer = some.open("camera", 1)

    async def work() -> list[dict[str, Any]]:
        for _ in range(live.WATCHER_QUEUE + 5):
            await some.answer(producer, line())
        return [json.loads(await watcher.next()) for _ in range(live.WATCHER_QUEUE)]

    found = run(work())
    assert watcher.lost == 7
    assert [one["answer"]["line"] for one in found] == list(range(6, live.WATCHER_QUEUE + 6))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux shows them")
def test_the_thread_works_alone_where_torch_has_one_thread() -> None:
    program = (
        "import torch; from pathlib import Path; from action_indrnn.live import worker\n"
        "torch.set_num_threads(1); ours = worker('ours'); ours.submit(int).result()\n"
        "def count(): return len(list(Path('/proc/self/task').iterdir()))\n"
        "before = count(); x = torch.rand(4, 512); weight = torch.rand(512, 512)\n"
        "ours.submit(torch.addmm, torch.zeros(512), x, weight.t()).result()\n"
        "print(count() - before)\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "0\n"


def test_there_is_a_limit_to_both(some: Live) -> None:
    producers = [some.open("", 1) for _ in range(3)]
    with pytest.raises(LimitError, match="at most 3 streams"):
        some.open("", 1)
    some.close(producers[0], "")
    some.open("", 1)
    watchers = [some.watch() for _ in range(2)]
    with pytest.raises(LimitError, match="at most 2 watchers"):
        some.watch()
    some.leave(watchers[0])
    some.watch()
