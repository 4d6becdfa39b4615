"""Skeleton action recognition with deep independently recurrent networks (IndRNN).

    from action_indrnn import Recognizer, evaluate, prepare, train

The four are loaded when they are first asked for: importing the package itself loads nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from action_indrnn.api import evaluate, train
    from action_indrnn.preparation import prepare
    from action_indrnn.recognizer import Recognizer

__version__ = "0.1.0"
__all__ = ["Recognizer", "evaluate", "prepare", "train"]

_HOMES = {"prepare": "preparation", "train": "api", "evaluate": "api", "Recognizer": "recognizer"}


def __getattr__(name: str) -> Any:
    """Returns one of the four.

    Raises:
        AttributeError: there is no such name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'action_indrnn' has no attribute '{name}'")
    return getattr(import_module(f"action_indrnn.{_HOMES[name]}"), name)
