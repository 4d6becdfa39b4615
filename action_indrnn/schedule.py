"""When the learning rate drops and when training ends."""

import math
from dataclasses import dataclass


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

    def judge(self, epoch: int, accuracy: float, loss: float, patience: int, drop: float) -> str:
        """What the validation after an epoch means: "better", "worse" or "drop"."""
        if (accuracy, -loss) > (self.best_accuracy, -self.best_loss):
            self.best_accuracy, self.best_loss, self.best_epoch = accuracy, loss, epoch
            self.misses = 0
            return "better"
        if self.misses > int(patience / 2**self.drops + 0.5):
            self.misses = 0
            self.drops += 1
            self.learning_rate *= drop
            return "drop"
        self.misses += 1
        return "worse"
