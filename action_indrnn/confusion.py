"""What a confusion matrix says: of each class, of pairs of classes, and in which order it is read best.

Shapes: K classes; a matrix is (K, K) clips by true class (row) and predicted class (column).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class ClassRow:
    """How one class is recognised.

    Attributes:
        label: of the class.
        clips: of it.
        recall: share of its clips that are recognised; NaN without any.
        precision: share of the clips taken for it that are of it; NaN if none is.
        f1: the harmonic mean of the two; 0 where either is.
        taken_for: the other class that most of its clips are taken for; none where all are right.
        taken: how many.
    """

    label: int
    clips: int
    recall: float
    precision: float
    f1: float
    taken_for: int | None
    taken: int


def class_rows(confusion: Counts) -> list[ClassRow]:
    """Returns a row for each class."""
    wrong = errors(confusion)
    rows = []
    for label, right in enumerate(confusion.diagonal().tolist()):
        clips, predicted = int(confusion[label].sum()), int(confusion[:, label].sum())
        other = int(wrong[label].argmax())
        taken = int(wrong[label, other])
        f1 = 2 * right / (clips + predicted) if clips + predicted else float("nan")
        recall = right / clips if clips else float("nan")
        precision = right / predicted if predicted else float("nan")
        rows.append(ClassRow(label, clips, recall, precision, f1, other if taken else None, taken))
    return rows


def errors(confusion: Counts) -> Counts:
    """Returns the matrix with nothing on its diagonal."""
    wrong: Counts = confusion - np.diag(confusion.diagonal())
    return wrong


def pairs(confusion: Counts, count: int) -> list[tuple[int, int, int]]:
    """Returns the pairs with the most errors: true class, the class that is taken for it, how many clips."""
    wrong = errors(confusion)
    found = np.argsort(-wrong, axis=None, kind="stable")[:count]
    rows, columns = np.unravel_index(found, wrong.shape)
    every = zip(rows.tolist(), columns.tolist(), wrong[rows, columns].tolist(), strict=True)
    return [pair for pair in every if pair[2]]


def shares(confusion: Counts) -> NDArray[np.float64]:
    """Returns the matrix with each row as shares of its class's clips; zeros for a class without any."""
    found: NDArray[np.float64] = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return found


def order(confusion: Counts) -> list[int]:
    """Returns the labels so that classes taken for one another stand side by side.

    Agglomeration by average linkage on the errors' shares: the two groups with the largest mean join, turned
    so that the two ends that meet are the most alike. Groups that share no error keep the classes' order.
    """
    wrong = shares(confusion)
    alike = wrong + wrong.T
    np.fill_diagonal(alike, 0)
    groups = [[label] for label in range(len(confusion))]
    between = alike.copy()  # the mean of all pairs between two groups
    while len(groups) > 1:
        first, second = sorted(divmod(int(between.argmax()), len(groups)))
        if between[first, second] == 0:
            break
        a, b = groups[first], groups[second]
        turned = [(x, y) for x in (a, a[::-1]) for y in (b, b[::-1])]
        x, y = max(turned, key=lambda ends: alike[ends[0][-1], ends[1][0]])
        row = (len(a) * between[first] + len(b) * between[second]) / (len(a) + len(b))
        groups[first] = x + y
        between[first], between[:, first] = row, row
        between[first, first] = 0
        del groups[second]
        between = np.delete(np.delete(between, second, 0), second, 1)
    return [label for group in groups for label in group]
