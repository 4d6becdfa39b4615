"""What an installation holds, and that a bare checkout runs."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("action_indrnn", "kernels", "data_prep", "configs")
BUILT = ("_cpu.", "_step.", "_skeleton.")  # how the names of compiled libraries begin


def checkout(folder: Path) -> Path:
    """A copy of what is packaged, without anything built."""
    for name in FOLDERS:
        shutil.copytree(
            ROOT / name,
            folder / name,
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", *(f"{name}*" for name in BUILT)),
        )
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "cli.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = checkout(tmp_path_factory.mktemp("checkout"))
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(out),
        str(folder),
    ]
    subprocess.run(command, check=True)
    return next(out.iterdir())


def test_an_installation_owns_one_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"action_indrnn"}
    expected = {
        f"action_indrnn/{'' if folder == 'action_indrnn' else folder + '/'}{path.name}"
        for folder in FOLDERS
        for path in (ROOT / folder).iterdir()
        if path.is_file() and not path.name.startswith(BUILT)
    }
    assert expected <= set(names)
    libraries = {
        f"action_indrnn/{name}.so" for name in ("kernels/_cpu", "kernels/_step", "data_prep/_skeleton")
    }
    built = libraries if shutil.which("g++") else set()
    assert {name for name in names if name not in expected and ".dist-info/" not in name} == built


def test_a_wheel_runs_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "from action_indrnn import config, models\n"
        "from action_indrnn.data_prep import layout, ntu\n"
        "assert models.__file__.startswith(sys.path[0])\n"
        "assert len(ntu.missing()) == 535 and len(layout.load('ntu25').joints) == 25\n"
        "assert sum(p.numel() for p in models.build(config.load('plain').model).parameters()) == 1430588\n"
    )
    subprocess.run([sys.executable, "-I", "-c", program], check=True, cwd=tmp_path)


def test_without_a_compiler_it_installs_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    folder = checkout(tmp_path / "checkout")
    environment = {**os.environ, "CC": "/nonexistent/cc", "CXX": "/nonexistent/c++"}
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(tmp_path / "site"),
    ]
    subprocess.run([*command, str(folder)], check=True, env=environment)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "from action_indrnn import kernels\n"
        "assert kernels.__file__.startswith(sys.path[0])\n"
        "from action_indrnn.data_prep import skeleton_parser\n"
        "print(kernels.backend()); print(skeleton_parser.reason())\n"
    )
    found = subprocess.run(
        [sys.executable, "-I", "-c", program], check=True, cwd=tmp_path, capture_output=True, text=True
    )
    kernel, parser = found.stdout.splitlines()
    assert kernel.startswith("chunked: the compiled CPU kernel was not built")
    assert parser.startswith("Python parser: the compiled one was not built")


def test_a_bare_checkout_runs(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    folder = checkout(tmp_path / "checkout")
    # The editable installation would otherwise answer for the checkout.
    hide = (
        "import sys, runpy\n"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in getattr(f, '__name__', '')]\n"
        f"sys.path.insert(0, {str(folder)!r}); sys.argv = ['cli.py', *sys.argv[1:]]\n"
        f"runpy.run_path({str(folder / 'cli.py')!r}, run_name='__main__')\n"
    )
    raw, out = tmp_path / "raw", tmp_path / "set"
    raw.mkdir()
    program = "from action_indrnn.data_prep import made; import sys, pathlib\n"
    program += "clip = made.clip(1, 1, 1, 1, 1)\n"
    program += "(pathlib.Path(sys.argv[1]) / f'{clip.name}.skeleton').write_bytes(made.to_text(clip))\n"
    subprocess.run([sys.executable, "-c", program, str(raw)], check=True)
    command = [sys.executable, "-c", hide, "preprocess", "made", str(raw), str(out)]
    found = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True)
    assert "1 clips of made data" in found.stdout
