"""Sets up `.venv` and runs the project's commands; needs nothing but Python 3.11 or newer.

    python3 dev.py demo    run the whole walk on made data (below demo/)
    python3 dev.py test    pass the tests
    python3 dev.py lint    ruff and mypy
    python3 dev.py gpu     on a machine with an NVIDIA GPU: its tests, compute-sanitizer, the benchmark's page

The environment is set up once, and again only when what it is made from changed or it is broken. `gpu` runs
in the Python that runs dev.py, with that one's torch and CuPy.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
READY = VENV / "ready"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
IMPORTS = "import action_indrnn.cli, action_indrnn.training, action_indrnn.demo, pytest, hypothesis"
PACKAGES = ("kernels", "data_prep", "configs")


def main() -> int:
    """Run the command named on the command line; its exit status."""
    if sys.version_info < (3, 11):
        print(f"dev.py: expected Python 3.11 or newer, found {sys.version.split()[0]}", file=sys.stderr)
        return 1
    commands = {"demo": demo, "test": test, "lint": lint, "gpu": gpu}
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    if sys.argv[1] != "gpu":
        set_up()
    return commands[sys.argv[1]](sys.argv[2:])


def demo(arguments: list[str]) -> int:
    """Run the demo; arguments go to `action-indrnn demo`."""
    return run(
        PYTHON, "-m", "action_indrnn", "demo", *(arguments or [str(Path(os.path.relpath(ROOT / "demo")))])
    )


def test(arguments: list[str]) -> int:
    """Run the tests; arguments go to pytest."""
    return run(PYTHON, "-m", "pytest", *arguments, folder=ROOT)


def lint(arguments: list[str]) -> int:
    """Run ruff on the tree and mypy on the package as an installation lays it out."""
    status = run(PYTHON, "-m", "ruff", "check", *arguments, ROOT)
    status |= run(PYTHON, "-m", "ruff", "format", "--check", ROOT)
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "action_indrnn"
        shutil.copytree(ROOT / "action_indrnn", package)
        for name in PACKAGES:
            shutil.copytree(ROOT / name, package / name)
        mypy = ("-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--cache-dir", ROOT / ".mypy_cache")
        status |= run(PYTHON, *mypy, "-p", "action_indrnn", folder=Path(folder))
    return status


def gpu(arguments: list[str]) -> int:
    """Hold the CUDA kernels against the reference on this machine's GPU, then time them.

    Arguments: the folder for `kernels-gpu.md`, .csv and .png, docs if not given; options of the benchmark.
    """
    out = ROOT / "docs" if not arguments or arguments[0].startswith("-") else Path(arguments.pop(0)).resolve()
    out.mkdir(parents=True, exist_ok=True)
    # From the checkout, installed or not: importing cli.py lays the package's folders out.
    tests = (sys.executable, "-c", "import sys, cli, pytest; sys.exit(pytest.main(sys.argv[1:]))", "-q")
    device = "tests/test_cuda_device.py"
    status = run(*tests, device, folder=ROOT)
    checker = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if Path(checker).exists():
        every = {
            **os.environ,
            "PYTORCH_NO_CUDA_MEMORY_CACHING": "1",
        }  # each tensor alone, so its bounds count
        checked = (checker, "--error-exitcode", "9")
        status |= run(*checked, *tests, device, "-k", "reference or number or bits", folder=ROOT, env=every)
        status |= run(
            *checked, "--tool", "racecheck", *tests, device, "-k", "reference and ring", folder=ROOT
        )
        status |= run(*checked, *tests, device, "-k", "graph or stream", folder=ROOT)
    else:
        print("compute-sanitizer: not found; memory and races are not checked", file=sys.stderr)
    page = [str(out / f"kernels-gpu.{ending}") for ending in ("md", "csv", "png")]
    files = ("--markdown", page[0], "--csv", page[1], *(("--plot", page[2]) if has("matplotlib") else ()))
    return status | run(
        sys.executable, "cli.py", "bench", "kernels", "--device", "cuda", *files, *arguments, folder=ROOT
    )


def has(module: str) -> bool:
    """Whether this Python could import it."""
    return importlib.util.find_spec(module) is not None


def set_up() -> None:
    """Make `.venv` ready; the mark is written last, so a broken installation is done again."""
    folders = (ROOT / "kernels", ROOT / "data_prep")
    sources = sorted(path for folder in folders for path in folder.iterdir() if path.suffix in (".cpp", ".h"))
    mark = hashlib.sha256(f"{ROOT} {sys.version}".encode())
    for path in (ROOT / "pyproject.toml", ROOT / "constraints.txt", ROOT / "setup.py", *sources):
        mark.update(path.read_bytes())
    if READY.is_file() and READY.read_text() == mark.hexdigest() and works():
        return
    if Path(sys.prefix) == VENV:
        sys.exit("dev.py: expected a Python outside .venv, which is to be made anew, found .venv's own")
    print("setting up .venv (once; a minute or two) ...", flush=True)
    if VENV.exists():
        shutil.rmtree(VENV)
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    pip = [str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", "constraints.txt", "-e", ".[dev]"], check=True, cwd=ROOT)
    READY.write_text(mark.hexdigest())


def works() -> bool:
    """Whether the environment imports what the project needs, from this checkout."""
    try:
        found = subprocess.run([str(PYTHON), "-c", IMPORTS], cwd=ROOT, capture_output=True, check=False)
    except OSError:
        return False
    return found.returncode == 0


def run(*command: str | Path, folder: Path | None = None, env: dict[str, str] | None = None) -> int:
    """Run a command and wait; its exit status."""
    try:
        return subprocess.run([str(part) for part in command], cwd=folder, env=env, check=False).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        print(f"dev.py: this command failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        sys.exit(1)
