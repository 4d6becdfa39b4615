"""Finds the known word that a mistyped one stands for."""

import difflib
from collections.abc import Iterable

_ALIKE = 0.7  # of difflib's ratio; "fold" and "folds" have 0.89, "day" and "name" 0.29


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like another; empty where none is."""
    found = difflib.get_close_matches(word.lower(), list(known), 1, _ALIKE)
    return found[0] if found else ""


def hint(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown word."""
    found = nearest(word, known)
    return f"; did you mean '{found}'?" if found else f"; known are {', '.join(sorted(known))}"
