"""Random numbers that follow from a run's seed and from what they are for, never from what was drawn."""

import numpy as np
import torch


def seed_torch(seed: int, *key: int) -> None:
    """Lets torch's random numbers begin at a place of their own for a purpose and a step."""
    number = int(np.random.SeedSequence((seed, *key)).generate_state(1, np.uint64)[0])
    # torch.manual_seed does this and looks for five other kinds of devices: a tenth of a small step.
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(number)
