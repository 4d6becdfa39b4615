"""Options that several commands take, and what they mean."""

from pathlib import Path
from typing import Annotated

import typer

SetFolder = Annotated[Path, typer.Argument(metavar="SET", help="A prepared set, as preprocess writes it.")]
ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file, RUN/model.safetensors.")]
DeviceName = Annotated[str, typer.Option(help="cpu, cuda, or cuda:N.")]
Threads = Annotated[
    int, typer.Option(min=1, help="CPU threads; more than one pays for wide networks on idle cores only.")
]


def device(name: str, threads: int) -> str:
    """Returns the torch device, with the number of threads set.

    Raises:
        ValueError: there is no such device here.
    """
    import torch

    torch.set_num_threads(threads)
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"expected a device of this machine, found '{name}': {str(error).splitlines()[0]}"
        ) from error
    return name
