"""The demo: the whole walk on made data, by the commands a user would type."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from action_indrnn.data_prep import archive, ntu

PROTOCOLS = {"xsub": "cross-subject", "xview": "cross-view"}
NETWORKS = {"demo": "residual IndRNN", "single_frame": "single-frame baseline"}
_MARK = "made-by-the-demo"


def run(out: Path) -> None:
    """Make data, preprocess, train and measure under two protocols, classify; all below `out`.

    Raises:
        ValueError: `out` holds something that no demo has made, or a step failed.
    """
    if out.exists() and any(out.iterdir()):
        if not (out / _MARK).exists():
            raise ValueError(f"{out}: expected a new folder or that of an earlier demo, found another one")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARK).touch()
    started = time.monotonic()

    print("1. People made of numbers perform actions before three virtual cameras. No recording is used:")
    print("   the figures below say that the program works, nothing about real people.\n")
    _run("make-data", out / "raw")
    print("\n2. The raw files become a prepared set.\n")
    _run("preprocess", "made", out / "raw", out / "set")

    print(
        "\n3. Two networks learn under two protocols: a residual IndRNN, which sees 20 frames of a clip, and"
    )
    print("   the same network given a single frame, to see what can be told from poses alone.")
    print("   Each pair of commands runs side by side, for about a minute.\n")
    runs = {
        (protocol, network): [
            "train",
            network,
            out / "set",
            "--protocol",
            protocol,
            "--out",
            out / protocol / network,
        ]
        for protocol in PROTOCOLS
        for network in NETWORKS
    }
    for network in NETWORKS:
        _run_together([runs[protocol, network] for protocol in PROTOCOLS])

    print("\n4. Measured on test clips that no choice was made by.\n")
    for protocol in PROTOCOLS:
        _run("evaluate", out / protocol / "demo" / "model.safetensors", out / "set", "--protocol", protocol)
        print()

    clip = _held_out(out / "set", out / "raw")
    print("5. One clip of a person whom the network has never seen.\n")
    _run("classify", out / "xsub" / "demo" / "model.safetensors", clip, "--top", "3")
    truth = archive.read(out / "set").classes[ntu.parse_name(clip.stem).action - 1]
    print(f"  the file's name says: {truth}\n")

    _summary(out, time.monotonic() - started)


def _command(arguments: list[object]) -> list[str]:
    text = [str(argument) for argument in arguments]
    print(f"$ action-indrnn {' '.join(text)}", flush=True)
    return [sys.executable, "-m", "action_indrnn", *text]


def _run(*arguments: object) -> None:
    _check(subprocess.run(_command(list(arguments)), check=False).returncode)


def _run_together(commands: list[list[object]]) -> None:
    """Run training commands at the same time; print what they say, but for the epochs' lines."""
    processes = [
        subprocess.Popen(_command(command), stdout=subprocess.PIPE, text=True, encoding="utf-8")
        for command in commands
    ]
    outputs = [process.communicate()[0] for process in processes]
    for output, process in zip(outputs, processes, strict=True):
        _check(process.returncode)
        lines = [line for line in output.splitlines() if not line.startswith("epoch ")]
        print("\n".join(f"  {line}" for line in lines), flush=True)


def _check(status: int) -> None:
    if status:
        raise ValueError(f"the demo stopped: the command above ended with status {status}")


def _held_out(prepared: Path, raw: Path) -> Path:
    """The file of a clip that the cross-subject protocol tests."""
    index = archive.read(prepared).index
    names = index["name"][~index["subject"].isin(ntu.TRAIN_SUBJECTS_60)]
    return raw / f"{names.iloc[len(names) // 2]}.skeleton"


def _summary(out: Path, seconds: float) -> None:
    print(f"top-1 accuracy on made data, one seed{'':<17}{'cross-subject':>15}{'cross-view':>15}")
    for network, title in NETWORKS.items():
        reports = [json.loads((out / name / network / "report.json").read_text()) for name in PROTOCOLS]
        print(f"  {title:<51}" + "".join(f"{report['top1']:>15.1%}" for report in reports))
    chance = 1 / len(archive.read(out / "set").classes)
    print(f"  {'chance':<51}{chance:>15.1%}{chance:>15.1%}")
    print(f"\n{seconds:.0f} seconds. Everything lies in {out}:")
    for name, what in (
        ("raw", "the made .skeleton files"),
        ("set", "the prepared set"),
        ("xsub/demo", "a run: model.safetensors, metrics.csv, report.json, config.toml, checkpoint.pt"),
    ):
        print(f"  {out / name!s:<22}{what}")
