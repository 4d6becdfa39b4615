"""Makes the pictures of the page in docs/, of made clips:

python -m tests.page_pictures demo/xsub/demo/model.safetensors docs
"""

import sys
import tempfile
import time
from pathlib import Path

from action_indrnn.data_prep import made
from action_indrnn.recognizer import Recognizer

from .chromium import browser
from .serving import application, join, line, running, tell
from .test_page import MODE, shown, written

CLIPS = {  # what is shown: the action, tens of frames, width, height
    "clip": (1, 3, 1440, 900),
    "pair": (made.STEP_TOGETHER, 4, 1440, 900),
    "phone": (1, 3, 412, 880),
}
LIVE = (3, 9, 10, 1)  # actions, one after another


def main(model: Path, folder: Path) -> None:
    """Write serve-*.png."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        running(application(Recognizer.load(model))) as port,
        browser(Path(scratch) / "profile") as tab,
    ):
        for name, (action, tens, width, height) in CLIPS.items():
            tab.size(width, height, scale=1.5 if name == "phone" else 1, phone=name == "phone")
            tab.open(f"http://127.0.0.1:{port}/")
            shown(tab, written(Path(scratch), action))
            tab.key("Home")
            for _ in range(tens):
                tab.key("ArrowRight", shift=True)
            time.sleep(0.3)  # until the bars stand
            tab.screenshot(folder / f"serve-{name}.png")
        tab.size(1440, 900)
        tab.open(f"http://127.0.0.1:{port}/")
        tab.key("l")
        tab.wait("!document.getElementById('waiting').hidden")
        with join(port, "/live?name=camera") as producer:
            frame = 0
            for action in LIVE:
                for pose in made.clip(3, 2, 3, 1, action).actors[0]:
                    tell(producer, line({1: pose}, time=frame / 30))
                    frame += 1
                    time.sleep(0.01)
            tab.wait(f"{MODE} === 'live'")
            time.sleep(0.3)
            tab.screenshot(folder / "serve-live.png")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
