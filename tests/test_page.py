"""The page in a real browser that reaches nothing but 127.0.0.1."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from action_indrnn.data_prep import made
from action_indrnn.recognizer import Recognizer

from .chromium import Tab, browser
from .conftest import person, skeleton_text
from .serving import application, hear, join, line, running, tell
from .test_detection import detector
from .test_streaming import recognizer

STYLE = Path(__file__).resolve().parent.parent / "action_indrnn" / "page.css"
FRAME = "Number(document.getElementById('place').value)"
MODE = "document.body.dataset.mode"


@pytest.fixture(scope="module")
def network() -> Recognizer:
    return recognizer()


@pytest.fixture(scope="module")
def port(network: Recognizer) -> Iterator[int]:
    with running(application(network)) as number:
        yield number


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("chromium") / "profile") as tab:
        yield tab


@pytest.fixture
def tab(window: Tab, port: int) -> Iterator[Tab]:
    """A tab with the page, of which nothing foreign is asked and which says nothing wrong."""
    window.events.clear()
    window.size(1280, 800)
    window.call("Emulation.setEmulatedMedia", features=[])
    window.open(f"http://127.0.0.1:{port}/")
    yield window
    assert window.complaints() == []
    own = (f"http://127.0.0.1:{port}/", f"ws://127.0.0.1:{port}/", "data:")  # the last are the browser's own
    assert [url for url in window.requested() if not url.startswith(own)] == []


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Made clips of one person and of two."""
    return [written(tmp_path_factory.mktemp("clips"), action) for action in (1, made.STEP_TOGETHER)]


def written(folder: Path, action: int) -> Path:
    clip = made.clip(3, 2, 3, 1, action)
    file = folder / f"{clip.name}.skeleton"
    file.write_bytes(made.to_text(clip))
    return file


def shown(tab: Tab, file: Path) -> None:
    tab.choose("#file", file)
    said = f"document.getElementById('said').textContent.startsWith({json.dumps(file.name)})"
    tab.wait(f"{MODE} === 'clip' && {said}")


def colours(tab: Tab, canvas: str) -> set[str]:
    """The most frequent hues of a canvas: those of its bodies or lines."""
    pixels = tab.value(
        f"(() => {{ const c = document.querySelector({json.dumps(canvas)});"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; const n = {};"
        "for (let i = 0; i < d.length; i += 4) if (d[i + 3] === 255) {"
        "const k = [d[i], d[i+1], d[i+2]].map((v) => v.toString(16).padStart(2, '0')).join('');"
        "n[k] = (n[k] || 0) + 1; } return n; })()"
    )
    return {f"#{colour}" for colour, count in pixels.items() if count > 60}


def test_a_clip_is_shown_and_its_answer_is_that_of_classify(
    tab: Tab, network: Recognizer, clips: list[Path]
) -> None:
    assert tab.text("#known li") == network.card.classes[0]
    tab.drop(clips[0])
    tab.wait(f"{MODE} === 'clip'")
    ((action, share),) = network.classify(clips[0]).top(1)
    assert tab.text("#verdict") == f"Whole clip: {action} {100 * share:.1f} %"
    assert tab.text("#said").startswith(f"{clips[0].name}: {action}, {100 * share:.1f} %")
    tab.wait(f"{FRAME} > 2")  # it plays
    tab.key(" ")
    here = tab.value(FRAME)
    time.sleep(0.15)
    assert tab.value(FRAME) == here
    assert "#ff9270" in colours(tab, "#scene")
    assert "#4fe3b2" in colours(tab, "#chart")
    tab.key("End")
    assert tab.text("#action") == action
    assert tab.text("#when") == "The whole clip shows"
    assert tab.text("#top li .part") == f"{100 * share:.1f} %"


def test_two_people_and_the_states_of_their_joints(tab: Tab, clips: list[Path]) -> None:
    shown(tab, clips[1])
    assert {"#ff9270", "#8db8ff"} <= colours(tab, "#scene")
    legend = tab.value("[...document.querySelectorAll('#legend li')].map((one) => one.textContent)")
    assert legend[:3] == ["person 1", "person 2", "inferred joint"]


def test_joints_that_were_not_tracked_are_marked(tab: Tab, tmp_path: Path) -> None:
    file = tmp_path / "lost.skeleton"
    file.write_bytes(skeleton_text([[(1, person() + 0.01 * t)] for t in range(9)], state=0))
    shown(tab, file)
    legend = tab.value("[...document.querySelectorAll('#legend li')].map((one) => one.textContent)")
    assert legend == ["person 1", "joint not tracked"]


def test_the_keyboard_does_everything(tab: Tab, clips: list[Path]) -> None:
    shown(tab, clips[0])
    tab.key("Home")
    for key, shift, frame in (("ArrowRight", False, 1), ("ArrowRight", True, 11), ("ArrowLeft", False, 10)):
        tab.key(key, shift)
        assert tab.value(FRAME) == frame
    tab.key("End")
    assert tab.value(FRAME) == made.clip(3, 2, 3, 1, 1).frame_count - 1
    tab.key("<")
    assert tab.value("document.getElementById('speed').value") == "0.5"
    picture = "document.getElementById('scene').toDataURL()"
    before = tab.value(picture)
    tab.key("d")
    assert tab.value(picture) != before
    tab.key("0")
    assert tab.value(picture) == before
    tab.key("?")
    assert tab.value("document.getElementById('keys').open")
    tab.value("document.getElementById('keys').close()")
    tab.value("document.getElementById('place').focus()")
    tab.key("Home")  # the slider's own key
    assert tab.value(FRAME) == 0
    tab.key("ArrowRight")
    assert tab.value(FRAME) == 1
    tab.value("document.getElementById('speed').focus()")
    tab.key("ArrowRight")  # and the list's
    tab.key(" ")
    tab.key("Home")
    assert tab.value(FRAME) == 1
    assert "frame 2 of" in tab.value("document.getElementById('place').getAttribute('aria-valuetext')")


def test_the_mouse_turns_the_scene_and_scrubs_the_chart(tab: Tab, clips: list[Path]) -> None:
    shown(tab, clips[0])
    tab.key("Home")
    picture = "document.getElementById('scene').toDataURL()"
    before = tab.value(picture)
    drag(tab, "#scene", 0.5, 0.7)
    assert tab.value(picture) != before
    drag(tab, "#chart", 0.1, 0.5)
    assert tab.value(FRAME) == pytest.approx(made.clip(3, 2, 3, 1, 1).frame_count / 2, abs=3)


def drag(tab: Tab, selector: str, start: float, end: float) -> None:
    """Drag from one share of an element's width to another."""
    box = tab.value(
        f"(() => {{ const b = document.querySelector('{selector}').getBoundingClientRect();"
        "return [b.left, b.top, b.width, b.height]; })()"
    )
    for kind, share in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
        where = {"x": box[0] + share * box[2], "y": box[1] + 0.5 * box[3], "button": "left", "buttons": 1}
        tab.call("Input.dispatchMouseEvent", type=kind, clickCount=1, **where)


def test_a_bad_file_is_told_by_name_and_line_and_the_clip_stays(
    window: Tab, port: int, clips: list[Path], tmp_path: Path
) -> None:
    window.size(1280, 800)
    window.open(f"http://127.0.0.1:{port}/")
    shown(window, clips[0])
    bad = tmp_path / "bad.skeleton"
    bad.write_bytes(clips[0].read_bytes()[:20_000])
    window.choose("#file", bad)
    window.wait("!document.getElementById('problem').hidden")
    assert re.match(r"bad\.skeleton:\d+: expected .*, found", window.text("#problem p"))
    assert window.value("document.getElementById('problem').getAttribute('role')") == "alert"
    assert window.value(MODE) == "clip"
    window.value("document.querySelector('#problem button').click()")
    assert window.value("document.getElementById('problem').hidden")


def test_live_frames_of_another_client_are_watched(tab: Tab, port: int) -> None:
    tab.key("l")
    tab.wait("!document.getElementById('waiting').hidden")
    with join(port, "/live?name=camera&top=14") as producer:
        for t in range(12):
            bodies = {7: person() + 0.01 * t, 9: person(1.0) - 0.01 * t}
            frame = json.loads(line(bodies, time=t / 30))
            frame["bodies"][0]["states"] = [1] * 5 + [0] + [2] * 19
            own = tell(producer, json.dumps(frame))
        tab.wait(f"{MODE} === 'live' && document.getElementById('clock').textContent === '0.4 s'")
        assert {"#ff9270", "#8db8ff"} <= colours(tab, "#scene")
        legend = tab.value("[...document.querySelectorAll('#legend li')].map((one) => one.textContent)")
        assert legend == ["body 7", "body 9", "inferred joint", "joint not tracked"]
        (pair,) = [one for one in own["people"] if len(one["bodies"]) == 2]
        told = {one["action"]: f"{100 * one['probability']:.1f} %" for one in pair["top"]}
        rows = tab.value(
            "[...document.querySelectorAll('#top li:not(.rest)')]"
            ".map((one) => [...one.children].map((part) => part.textContent))"
        )
        assert len(rows) == 5
        for name, share, _ in rows:
            assert share == told[name]
        assert tab.text("#stream option:checked") == "camera"
    tab.wait("document.getElementById('said').textContent === 'camera has ended'")
    tab.key("l")
    tab.wait(f"{MODE} === 'empty'")


def test_live_no_action_has_a_row_of_its_own_where_the_network_knows_it(window: Tab, tmp_path: Path) -> None:
    network = detector()
    with running(application(network)) as port:
        window.size(1280, 800)
        window.open(f"http://127.0.0.1:{port}/")
        window.key("l")
        window.wait("!document.getElementById('waiting').hidden")
        with join(port, "/live?name=camera&top=14") as producer:
            for t in range(12):
                own = tell(producer, line({7: person() + 0.01 * t}, time=t / 30))
            window.wait(f"{MODE} === 'live' && document.getElementById('clock').textContent === '0.4 s'")
            (one,) = own["people"]
            told = {action["action"]: action["probability"] for action in one["top"]}
            rows = window.value(
                "[...document.querySelectorAll('#top li')]"
                ".map((one) => [...one.children].slice(0, 2).map((part) => part.textContent))"
            )
        *shown_ones, (none, idle), (others, rest) = rows
        assert (none, others, len(shown_ones)) == ("no action", "all others", 5)
        assert 0.01 < 1 - sum(told.values()) < 0.99
        assert float(idle[:-2]) == pytest.approx(100 * (1 - sum(told.values())), abs=0.06)
        left = sum(told.values()) - sum(told[name] for name, _ in shown_ones)
        assert float(rest[:-2]) == pytest.approx(100 * left, abs=0.06)
        window.size(1024, 600)
        panel = "document.getElementById('chances')"
        assert window.value(f"{panel}.scrollHeight <= {panel}.clientHeight")
        window.key("l")
        shown(window, written(tmp_path, 1))  # a whole clip always shows an action
        names = window.value("[...document.querySelectorAll('#top .name')].map((one) => one.textContent)")
        assert "no action" not in names
        assert window.complaints() == []


def test_who_is_most_probable_now_is_always_among_the_leaders(tab: Tab) -> None:
    told = [(0.9, 0.0, 0.0), (0.0, 0.8, 0.1), (0.1, 0.2, 0.5)]
    answers = [
        {
            "time": t,
            "events": [],
            "people": [
                {
                    "bodies": ["7"],
                    "top": [{"action": a, "probability": p} for a, p in zip("ABC", row, strict=True)],
                }
            ],
        }
        for t, row in enumerate(told)
    ]
    asked = (
        "import('./page_live.js').then(({ history }) => { const kept = history(['A', 'B', 'C']);"
        f"{json.dumps(answers)}.forEach(kept.add); return kept.leaders(kept.unit(''), 2).join(' '); }})"
    )
    assert tab.value(asked) == "2 0"  # B, now the second, was never as probable as A


def test_a_clip_is_sent_as_a_live_stream_and_back(
    tab: Tab, port: int, network: Recognizer, clips: list[Path]
) -> None:
    shown(tab, clips[0])
    with join(port, "/watch") as watcher:
        hear(watcher)
        tab.value("document.getElementById('replay').click()")
        assert hear(watcher)["opened"]["name"] == clips[0].name
        tab.wait(f"{MODE} === 'live'")
        assert hear(watcher)["answer"]["frame"] == 0
        assert set(hear(watcher)["bodies"][0]["states"]) <= set("012")
    tab.wait("document.getElementById('said').textContent.startsWith('The clip has ended: ')")
    ((action, share),) = network.classify(clips[0]).top(1)
    assert tab.text("#verdict") == f"Whole clip: {action} {100 * share:.1f} %"
    panel = "document.getElementById('chances')"
    assert tab.value(f"{panel}.scrollHeight <= {panel}.clientHeight")  # at 1280 x 800
    tab.value("document.getElementById('verdict').textContent = ''")
    tab.value("document.getElementById('replay').click()")
    tab.wait(f"{MODE} === 'clip'")
    assert tab.text("#verdict").startswith("Whole clip: ")


def test_nothing_foreign_can_be_reached(window: Tab, port: int) -> None:
    window.open(f"http://127.0.0.1:{port}/")
    refused = "fetch('http://example.com/').then(() => 'came', (error) => 'refused')"
    window.events.clear()
    assert window.value(refused) == "refused"
    assert any("Content Security Policy" in text for text in window.complaints())
    found = window.call("Page.navigate", url="http://example.com/")
    assert found["errorText"] == "net::ERR_NAME_NOT_RESOLVED"  # and without the policy the browser has no way


def test_everything_that_takes_the_focus_has_a_name(tab: Tab, clips: list[Path]) -> None:
    shown(tab, clips[0])
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    focusable = {}
    for node in nodes:
        properties = {one["name"]: one["value"].get("value") for one in node.get("properties", [])}
        if properties.get("focusable") and not node["ignored"] and node["role"]["value"] != "RootWebArea":
            focusable[node.get("name", {}).get("value", "").strip()] = node["role"]["value"]
    assert "" not in focusable
    expected = {"Open a clip", "Watch live", "Keys", "Pause", "Speed", "Repeat", "Place in the clip"}
    assert expected <= set(focusable) | {"Pause" if "Play" in focusable else ""}
    roles = {node["role"]["value"] for node in nodes if not node["ignored"]}
    assert {"status", "main", "banner", "slider", "list"} <= roles
    tab.value("document.activeElement.blur()")
    names = []
    for _ in range(10):
        tab.key("Tab")
        names.append(tab.value("document.activeElement.id || document.activeElement.textContent"))
        assert tab.value("getComputedStyle(document.activeElement).outlineStyle") != "none"
    order = ["choose", "watch", "help", "scene", "place", "play", "speed", "again", "replay"]
    assert names == ["Skip to the timeline", *order]


def test_who_wants_little_motion_sees_the_end_and_nothing_plays(tab: Tab, clips: list[Path]) -> None:
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    shown(tab, clips[0])
    assert tab.text("#when") == "The whole clip shows"
    assert tab.text("#play") == "Play"


def test_nothing_sticks_out_at_any_width(tab: Tab, clips: list[Path]) -> None:
    shown(tab, clips[1])
    for width, height in (
        (1280, 800),
        (1280, 720),
        (1440, 900),
        (1920, 1080),
    ):  # and nothing has to be scrolled to
        tab.size(width, height)
        low = (
            "Math.max(...['play', 'replay', 'clock', 'verdict']"
            ".map((id) => document.getElementById(id).getBoundingClientRect().bottom))"
        )
        assert tab.value(low) <= height, (width, height)
        assert tab.value("document.documentElement.scrollHeight") <= height, (width, height)
    for width, height in ((320, 640), (412, 860), (800, 1100), (1024, 600), (1920, 1080), (3840, 2160)):
        tab.size(width, height)
        assert tab.value("document.documentElement.scrollWidth") <= width
        out = tab.value(
            "[...document.querySelectorAll('button, select, h1, #action, #top li')]"
            ".map((one) => [one, one.getBoundingClientRect()])"
            ".filter(([, box]) => box.left < 0 || box.right > innerWidth)"
            ".map(([one]) => one.id || one.textContent)"
        )
        assert out == [], width


def test_names_of_actions_leave_the_next_its_room(tab: Tab) -> None:
    shortened = tab.value(
        "import('/page_chart.js').then(({ fitted }) => {"
        "const c = document.createElement('canvas').getContext('2d'); c.font = '13px monospace';"
        "const one = c.measureText('m').width;"
        "return [99, 13, 6.5, 1.5, 0.5, -9].map((room) => fitted(c, 'hold a hand up', room * one)); })"
    )
    assert shortened == ["hold a hand up", "hold a hand…", "hold…", "", "", ""]


def test_texts_stand_out_from_their_grounds() -> None:
    known = dict(re.findall(r"--([\w-]+): (#\w{6});", STYLE.read_text()))
    pairs = [
        (text, ground) for text in ("text", "muted", "accent", "problem") for ground in ("ground", "panel")
    ]
    for text, ground in [*pairs, ("on-accent", "accent"), ("problem", "on-problem")]:
        assert contrast(known[text], known[ground]) >= 4.5, (text, ground)  # WCAG 2.2, 1.4.3
    for ground in ("ground", "panel"):
        for line_ in ("edge", "focus"):
            assert contrast(known[line_], known[ground]) >= 3, (line_, ground)  # 1.4.11


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours."""
    lights = []
    for colour in (one, other):
        values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
        linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
        lights.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(lights) + 0.05) / (min(lights) + 0.05)
