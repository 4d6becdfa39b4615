"""The report's memory page: what each layer remembers, and what the units that decide a class respond to.

Shapes: H units of the last layer, K classes.
"""

import numpy as np
from numpy.typing import NDArray

from action_indrnn import charts, film_chart, units
from action_indrnn.data_prep import layout
from action_indrnn.exam import Exam
from action_indrnn.graph import GraphIndRNN
from action_indrnn.markup import Markup, element, join, table
from action_indrnn.memory import layer_memory, lengths
from action_indrnn.report_accuracy import MOST_CLIPS, percent
from action_indrnn.run_record import Record
from action_indrnn.scene import RATE
from action_indrnn.units import Reading, Response

CARDS = 10  # units that are shown with clips
NAMED = 3  # units named for a class, and classes named for a unit
_SEED = 0  # of the units that are silenced for comparison


def layers(record: Record) -> Markup:
    """Each layer's recurrent weights as memory lengths."""
    recurrences = list(record.model.recurrences())
    if not recurrences:
        return element(
            "p", "A gated network: it has no recurrent weight to read a memory off.", class_="note"
        )
    seconds = record.seconds
    weights = [layer.u.detach().cpu().numpy().astype(np.float64) for layer in recurrences]
    most = np.max([charts.memory_bins(u).max(axis=1) for u in weights], axis=0)
    rows: list[list[str | float]] = []
    figures = []
    for number, (layer, u) in enumerate(zip(recurrences, weights, strict=True), 1):
        found = layer_memory(layer)
        middle = found["memory_50"]
        rows.append(
            [
                str(number),
                str(found["units"]),
                *(_steps(found[f"memory_{share}"]) for share in (10, 50, 90)),
                "–" if seconds is None else _seconds(middle, seconds),
                "–" if found["bound"] is None else f"{found['bound']:.4g}",
                percent(found["at_bound"]),
                percent(found["beyond_1"]),
                percent(found["negative"]),
            ]
        )
        caption = join(
            element("b", f"Layer {number}"),
            f": median {_steps(middle)} steps, {percent(found['at_bound'])} at the bound, "
            f"{percent(found['negative'])} negative",
        )
        title = f"Memory lengths of layer {number}"
        figures.append(charts.figure(charts.memory_histogram(title, u, seconds=seconds, most=most), caption))
    told = (
        "A unit with recurrent weight u keeps |u| of its state a step, so what it took in fades as |u| to "
        "the power of the steps; 1 / (1 - |u|) steps is its memory length. Bars say how many units have "
        "which, on a logarithmic axis in steps and seconds; below the line stand units with negative u, "
        "whose memory changes its sign every step; ∞ stands for |u| ≥ 1, where nothing fades."
    )
    if record.card.config.beside is not None:
        told += f" Of two networks, {record.card.config.kind}: the layers of both, one after the other."
    head = ["Layer", "Units", "10 %", "Median", "90 %", "Median in s", "Bound of |u|"]
    return join(
        element("p", told),
        element("p", _step(record)),
        element("div", *figures, class_="histograms"),
        table(
            "Memory lengths in steps, layer by layer", [*head, "At the bound", "|u| > 1", "Negative"], rows
        ),
    )


def _step(record: Record) -> str:
    """What a step of the network is, in words."""
    data, frames, seconds = record.card.config.data, record.card.clip_frames, record.seconds
    words = {
        "segments": f"A step is one of the {data.frames} frames that the network sees of a clip",
        "whole": f"A step is one of {data.frames} even steps from a clip's first frame to its last",
        "every": "A step is a frame of the recording",
    }[data.sampling]
    if data.sampling == "every":
        return f"{words}: {seconds:.2g} s at {RATE:g} frames a second."
    if seconds is None:
        return f"{words}."
    return f"{words}: {seconds:.2g} s in a clip of median length ({frames:g} frames at {RATE:g} a second)."


def _steps(value: float) -> str:
    return "∞" if np.isinf(value) else f"{value:.1f}"


def _seconds(value: float, seconds: float) -> str:
    return "∞" if np.isinf(value) else f"{value * seconds:.2f}"


def deciding(record: Record, exam: Exam | None) -> Markup:
    """The units that decide a class, the clips and the moments that they respond to."""
    model = units.readable(record.model)
    if not units.last_layers(model):
        words = (
            "A graph network: its classifier reads the largest of the bodies' units, no sum over time."
            if isinstance(model, GraphIndRNN)
            else "A gated network: no unit of it keeps to itself."
        )
        return element("p", words, class_="note")
    if exam is None:
        return element(
            "p", "Read off clips of the prepared set, which was not found; --set names it.", class_="note"
        )
    card = record.card
    settings = card.config
    reading = units.read(model, exam.clips, exam.some(MOST_CLIPS), exam.labels, settings, card.layout())
    u = units.recurrent_weights(model)
    of_two = "Of the first of the two networks that can be read so. " if model is not record.model else ""
    told = (
        f"{of_two}The classifier is linear: a class's logit is a sum over the units of the last layer. "
        "A unit's evidence for a class is what it adds to that logit on the class's clips more than on all "
        "others. Listed are units that respond to the class, that is, whose state is higher on its clips."
    )
    cards = [
        element("div", *_card(record, exam, reading, u, unit), class_="unit") for unit in _leading(reading)
    ]
    read = "at the end" if units.at_the_end(model, settings) else "in the mean over a clip"
    shown = (
        f"The {len(cards)} units with the most evidence for a class of their own, in the clips that they "
        f"respond to most. What is read of a unit, its state {read}, is a sum over what it took in at every "
        "step and had not yet forgotten: the bars are that sum's parts, the line is the state, and the "
        "framed picture is the moment that counts most."
    )
    return join(
        element("p", told),
        _table(reading, card.classes, u, seen="every frame" if settings.detects else "one sampling"),
        element("p", shown),
        element("div", *cards, class_="units"),
    )


def _leading(reading: Reading) -> list[int]:
    """The units with the most evidence, at most one for a class."""
    first = [(label, reading.deciding(label, 1)) for label in range(len(reading.weight))]
    found = {
        int(chosen[0]): float(reading.evidence[label, chosen[0]]) for label, chosen in first if len(chosen)
    }
    return sorted(found, key=lambda unit: (-max(reading.evidence[:, unit]), unit))[:CARDS]


def _table(reading: Reading, classes: tuple[str, ...], u: NDArray[np.float64], *, seen: str) -> Markup:
    """For each class its units, and what becomes of it without them."""
    random = np.random.default_rng(_SEED)
    memory = lengths(u)
    none = np.zeros(0, np.int64)
    rows: list[list[str | float]] = []
    sums = []
    for label, name in enumerate(classes):
        if not (reading.labels == label).any():
            continue
        chosen = reading.deciding(label, units.DECISIVE)
        others = np.setdiff1d(np.arange(len(u)), chosen)
        drawn = random.permutation(others)[: len(chosen)]
        recalls = [reading.recall(label, without) for without in (none, chosen, drawn)]
        sums.append(recalls)
        named = ", ".join(
            f"{unit} (+{reading.evidence[label, unit]:.1f}, {_steps(memory[unit])} steps)"
            for unit in chosen[:NAMED].tolist()
        )
        rows.append([name, named or "none", *map(percent, recalls)])
    caption = (
        f"Recall, {seen} of {len(reading.numbers):,} test clips, with all units; with the class's "
        f"own {units.DECISIVE} held at their mean; with as many others, drawn at random, held"
    )
    head = ["Class", "Units (evidence, memory)", "Recall", "Without them", "Without others"]
    whole, own, other = (percent(float(mean)) for mean in np.mean(sums, axis=0))
    told = f"Mean recall {whole}; without each class's own units {own}; without as many others {other}."
    return join(table(caption, head, rows, class_="sortable", row_heads=2), element("p", told))


def _card(
    record: Record,
    exam: Exam,
    reading: Reading,
    u: NDArray[np.float64],
    unit: int,
) -> list[Markup]:
    """A unit: what it says for which classes, and its strongest clips."""
    classes, evidence = record.card.classes, reading.evidence[:, unit]
    best = [label for label in np.argsort(-evidence, kind="stable")[:NAMED].tolist() if evidence[label] > 0]
    against = int(evidence.argmin())
    rest = f"; against {classes[against]} ({evidence[against]:.1f})" if evidence[against] <= -0.1 else ""
    memory, seconds = float(lengths(u[unit : unit + 1])[0]), record.seconds
    names = [f"{classes[label]} (+{evidence[label]:.1f})" for label in best]
    fades = (
        _steps(memory)
        + " steps"
        + ("" if seconds is None or np.isinf(memory) else f", {memory * seconds:.2g} s")
    )
    states = reading.states[:, unit]
    own = np.where(reading.labels == best[0], states, -np.inf)
    # Of all clips and of the class: often the same one.
    strongest = reading.numbers[list(dict.fromkeys([int(states.argmax()), int(own.argmax())]))]
    card = record.card
    model = units.readable(record.model)
    found = units.responses(model, exam.clips, strongest, unit, card.config, card.layout())
    return [
        element("h3", f"Unit {unit}"),
        element("p", "for ", element("b", names[0]), "".join(f", {name}" for name in names[1:]), rest),
        element("p", f"u = {u[unit]:.3f}, memory {fades}", class_="soft"),
        *(_response(exam, classes, unit, response) for response in found),
    ]


def _response(exam: Exam, classes: tuple[str, ...], unit: int, response: Response) -> Markup:
    prepared = exam.prepared
    clip = prepared.clip(response.number)
    name = f"{clip.name}, {classes[int(exam.labels[response.number])]}"
    joints = layout.from_table(prepared.meta["layout"], str(prepared.path))
    return element(
        "figure",
        film_chart.strip(
            f"Filmstrip of {name}, frame {response.peak + 1} framed", clip, joints, response.peak
        ),
        charts.response(f"Unit {unit} in {name}: its state over time", response.state, response.taken),
        element("figcaption", f"{name}: counts most at frame {response.peak + 1}"),
    )
