"""The commands of data: made recordings, prepared sets; everything heavy is imported inside them."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from action_indrnn.options import SetFolder

DatasetName = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="ntu60, ntu120, sbu, msr-action3d, utkinect, florence3d, nw-ucla, utd-mhad, made, custom, "
        "pyskl, ctr-gcn-npz, stgcn-npy.",
    ),
]


def make_data(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder for the .skeleton files.")],
    subjects: Annotated[int, typer.Option(min=2, max=40, help="How many made people perform.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
) -> None:
    """Make a data set of procedurally animated people, in NTU RGB+D's file format; nothing is recorded."""
    from action_indrnn.data_prep import made

    count = made.write(out, subjects=subjects, seed=seed)
    print(f"made {count} clips of {len(made.CLASSES)} actions by {subjects} made people in {out}")


def preprocess(
    dataset: DatasetName,
    raw: Annotated[
        list[Path], typer.Argument(metavar="RAW...", help="The data set's files, folders, zip archives.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The prepared set's folder, new.")],
    view: Annotated[
        Literal["camera", "first-frame", "whole-clip", "raw"],
        typer.Option(
            help="Axes: the camera's, or turned until the main actor faces it in the first frame, or on "
            "average over the clip, which no stream can; raw keeps the camera as the origin too."
        ),
    ] = "camera",
    recipe: Annotated[
        Literal["tracks", "ctr-gcn"],
        typer.Option(
            help="Actors: ours, on true frame numbers; or exactly as SGN's and CTR-GCN's scripts; with "
            "--view raw before they translate."
        ),
    ] = "tracks",
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 for one a core.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the prepared set at OUT.")] = False,
) -> None:
    """Turn raw recordings into a prepared set; the same command goes on where one was cut off."""
    from action_indrnn.data_prep import catalogue, posture
    from action_indrnn.preparation import prepare

    data_set = catalogue.find(dataset, raw)
    try:
        summary = prepare(
            data_set, raw, out, view=view, recipe=recipe, workers=workers, overwrite=overwrite, say=_say
        )
    except KeyboardInterrupt:
        _say("stopped; the same command goes on where the last seconds' work was saved")
        raise typer.Exit(130) from None
    print(f"prepared set  {out}: {summary.clips:,} clips of {data_set.title}")
    if summary.whole:
        print("whole         all usable clips, training and test counts as published")
    elif data_set.clip_count:
        print(
            f"partial       {summary.clips:,} of {data_set.clip_count:,} usable clips: "
            "accuracies on it do not compare with published ones"
        )
    for protocol, (train, test) in summary.counts.items():
        print(f"{protocol:<13} {train:,} training, {test:,} test")
    if data_set.name == "custom":
        rules = ", ".join(f"{column}=..." for column in (*data_set.columns, "clip/5"))
        print(f"protocols     any of {rules}")
    print(f"left out      {summary.skipped:,} recordings ({out / 'skipped.csv'} says why), ", end="")
    print(f"{summary.dropped:,} bodies ({out / 'dropped.csv'})")
    for doubt, count in summary.doubts.items():
        if count > summary.clips / 2:
            told = f"{count:,} of {summary.clips:,} clips: {posture.CURES[doubt]}"
            _say(f"warning: {out}: {told}")


def _say(line: str) -> None:
    print(f"action-indrnn: {line}", file=sys.stderr)


def export_data(
    prepared_set: SetFolder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new file; for stgcn-npy a new folder.")],
    format_name: Annotated[
        Literal["ctr-gcn-npz", "pyskl-pkl", "stgcn-npy"], typer.Option("--format", help="Whose format.")
    ],
    protocol: Annotated[
        str, typer.Option(help="Which clips train; pyskl-pkl takes all of the set's where none is given.")
    ] = "",
) -> None:
    """Write a prepared set in another project's format."""
    from action_indrnn.data_prep import archive, exports

    count = exports.write(archive.read(prepared_set), out, format_name, protocol)
    print(f"exported      {out}: {count:,} clips as {format_name}")
