import pytest

from action_indrnn.data_prep import spelling

KNOWN = ("subject", "camera", "fold")


@pytest.mark.parametrize(
    ("word", "meant"), [("subjects", "subject"), ("Subject", "subject"), ("camra", "camera"), ("day", "")]
)
def test_the_nearest_word(word: str, meant: str) -> None:
    assert spelling.nearest(word, KNOWN) == meant
    told = f"; did you mean '{meant}'?" if meant else "; known are camera, fold, subject"
    assert spelling.hint(word, KNOWN) == told
