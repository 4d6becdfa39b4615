from pathlib import Path

import numpy as np
import pytest

from action_indrnn.data_prep import bodies, layout, skeleton_file
from action_indrnn.picture import Film, animation, filmstrip

from .conftest import person, skeleton_text

pytest.importorskip("matplotlib")
NTU = layout.load("ntu25")


@pytest.fixture
def film() -> Film:
    texts = [[(1, person(0.02 * frame)), (2, person(1.0, z=4.0))] for frame in range(15)]
    texts[3] = texts[3][1:]
    recording = skeleton_file.parse(skeleton_text(texts, state=1), "a.skeleton")
    return Film.of_clip(bodies.choose(recording, NTU)[0], "a clip", recording)


def test_a_film_knows_how_joints_were_tracked(film: Film) -> None:
    assert film.present.sum() == 29
    assert (film.states[film.present] == 1).all()


def test_a_filmstrip(film: Film, tmp_path: Path) -> None:
    filmstrip([film, film], NTU, tmp_path / "a.png", count=5)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    filmstrip([film], NTU, tmp_path / "a.svg", count=5)
    svg = (tmp_path / "a.svg").read_text()
    assert all(colour in svg for colour in ("#1769aa", "#c62828", "#64b5f6", "#ef9a6a"))  # sides, both actors


def test_an_animation_has_every_frame(film: Film, tmp_path: Path) -> None:
    animation(film, NTU, tmp_path / "a.gif")
    from PIL import Image

    with Image.open(tmp_path / "a.gif") as found:
        assert found.n_frames == 15


def test_nobody_in_a_film_is_drawn_as_nobody(tmp_path: Path) -> None:
    empty = Film("", *(np.zeros(s, k) for s, k in (((1, 4, 25, 3), "f4"), ((1, 4), "?"), ((1, 4, 25), "u1"))))
    filmstrip([empty], NTU, tmp_path / "a.png", count=2)
    assert (tmp_path / "a.png").exists()
