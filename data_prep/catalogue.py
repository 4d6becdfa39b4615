"""The data sets that `preprocess` knows."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from action_indrnn.data_prep import custom, made, ntu, padded, pyskl
from action_indrnn.data_prep.data_set import DataSet
from action_indrnn.data_prep.florence3d import FLORENCE3D
from action_indrnn.data_prep.msr_action3d import MSR_ACTION3D
from action_indrnn.data_prep.nw_ucla import NW_UCLA
from action_indrnn.data_prep.sbu import SBU
from action_indrnn.data_prep.utd_mhad import UTD_MHAD
from action_indrnn.data_prep.utkinect import UTKINECT


def _ntu(name: str, title: str, classes: int) -> DataSet:
    protocols = ntu.PROTOCOLS[name]
    counts = {protocol: ntu.COUNTS[name, protocol] for protocol in protocols}
    return DataSet(name, title, "ntu25", ntu.actions()[:classes], protocols, ntu.CLIPS[name], counts)


DATA_SETS = {
    data_set.name: data_set
    for data_set in (
        _ntu("ntu60", "NTU RGB+D 60", 60),
        _ntu("ntu120", "NTU RGB+D 120", 120),
        DataSet(
            name="made",
            title="made data (procedural, not recorded)",
            layout="ntu25",
            classes=made.CLASSES,
            protocols={**ntu.PROTOCOLS["ntu60"], "xset": ntu.PROTOCOLS["ntu120"]["xset"]},
            clip_count=0,
            counts={},
        ),
        SBU,
        MSR_ACTION3D,
        UTKINECT,
        FLORENCE3D,
        NW_UCLA,
        UTD_MHAD,
    )
}


FORMATS: Mapping[str, Callable[[Sequence[Path]], DataSet]] = {
    "custom": custom.data_set,
    "pyskl": pyskl.data_set,
    "ctr-gcn-npz": padded.ctr_gcn,
    "stgcn-npy": padded.st_gcn,
}


def find(name: str, raw: Sequence[Path] = ()) -> DataSet:
    """The data set of that name, or the one that files of a format of that name hold.

    Raises:
        ValueError: there is none; names those there are, or says what is wrong with the files.
    """
    if name in FORMATS:
        return FORMATS[name](raw)
    if name not in DATA_SETS:
        raise ValueError(f"expected a data set out of {[*DATA_SETS, *FORMATS]}, found '{name}'")
    return DATA_SETS[name]
