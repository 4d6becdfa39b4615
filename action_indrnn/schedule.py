"""How the learning rate moves, and when training ends."""

import math
from dataclasses import dataclass

from action_indrnn.config import Train


def epochs(train: Train, steps: int) -> int | None:
    """How many epochs of so many steps to train for at most; none without a limit."""
    if train.max_epochs is None:
        return None
    return max(train.max_epochs, math.ceil(train.min_steps / steps))


def rate(train: Train, learning_rate: float, step: int, steps: int) -> float:
    """The learning rate of a step.

    Args:
        train: the schedule, warm-up and limits.
        learning_rate: what drops have left of it.
        step: number of the step, from 0, over all epochs.
        steps: in an epoch.
    """
    limit = epochs(train, steps)
    if train.schedule == "cosine" and limit is not None:
        low = train.learning_rate_min
        share = (1 + math.cos(math.pi * step / (limit * steps))) / 2
        learning_rate = low + (learning_rate - low) * share
    if step < train.warm_up * steps:
        learning_rate *= (step + 1) / (train.warm_up * steps)
    return learning_rate


@dataclass
class Schedule:
    """The learning rate by the original's rule (IndRNN_pytorch, Indrnn_action_train.py).

    When no validation was better for more than `patience` misses, the best weights come back and the learning
    rate drops; the patience halves with every drop. Equal accuracy counts as better when the loss is lower.
    """

    learning_rate: float
    misses: int = 0
    drops: int = 0
    best_accuracy: float = -1.0
    best_loss: float = math.inf
    best_epoch: int = 0

    def judge(self, epoch: int, accuracy: float, loss: float, patience: float, drop: float) -> str:
        """What the validation after an epoch means: "better", "worse", or "drop" once patience ends."""
        if (accuracy, -loss) > (self.best_accuracy, -self.best_loss):
            self.best_accuracy, self.best_loss, self.best_epoch = accuracy, loss, epoch
            self.misses = 0
            return "better"
        if self.misses > patience / 2**self.drops + 0.5:
            self.misses = 0
            self.drops += 1
            self.learning_rate *= drop
            return "drop"
        self.misses += 1
        return "worse"
