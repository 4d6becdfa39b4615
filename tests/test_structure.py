"""The house's layers: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"action_indrnn": "action_indrnn", "kernels": "action_indrnn.kernels"} | {
    name: f"action_indrnn.{name}" for name in ("data_prep", "configs")
}
# A module may import from its own floor and from those below it. The order of the floors, the top first:
FLOORS = [
    {"__main__"},
    {"cli"},
    {"cli_data", "cli_train", "cli_live", "cli_serve", "cli_task", "cli_inspect", "cli_bench", "cli_report"},
    {"api", "preparation", "server", "sockets", "report"},
    {"report_memory"},
    {"report_classes"},
    {"report_accuracy"},
    {"exam", "run_record"},
    {"demo", "bench_tables", "bench_train", "bench_accuracy", "bench_live", "over_time", "clip_page", "live"},
    {"frame_socket"},
    {"dialogue"},
    {"detection"},
    {
        "onnx_step",
        "training",
        "recognizer",
        "memory",
        "gallery",
        "bench",
        "original",
        "task_adding",
        "task_mnist",
        "task_ptb",
        "units",
    },
    {"task_fit"},
    {"frame_lines"},
    {"run_folder", "outcome", "optimisation", "batches", "task_language", "streaming", "task_curve"},
    {"evaluation", "checkpoint"},
    {"every_frame"},
    {"step", "folds", "faults", "splits"},
    {"step_fold"},
    {"mirror_images"},
    {"dataset", "models", "schedule", "interrupt", "task_config"},
    {"augment"},
    {"graph", "dense", "convolutional", "ensemble"},
    {"blocks"},
    {"matrix_chart"},
    {"film_chart"},
    {"environment"},
    {"inspection"},
    {"classifier", "published", "source_report", "picture", "charts", "confusion", "clip_report"},
    {"gated", "graph_layers", "pooling"},
    {"layers", "config", "streams", "facing", "frame_norm"},
    {"features"},
    {"config_file"},
    {"scene_state", "live_frames", "clip_recorder"},
    {"scene"},
    {"windows", "people"},
    {
        "processes",
        "options",
        "decision",
        "config_problems",
        "networks",
        "guard",
        "seeds",
        "markup",
        "products",
        "allocator",
    },
    {"kernels", "data_prep", "configs"},
]
ALLOWED = {
    "kernels": {"torch", "numpy", "cupy"},
    "data_prep": {"numpy", "scipy", "pandas", "tqdm", "tomli_w"},
    "configs": set(),
    "action_indrnn": {
        "torch",
        "numpy",
        "pandas",
        "tqdm",
        "typer",
        "pydantic",
        "safetensors",
        "tomli_w",
        "matplotlib",
        "onnx",
        "onnxruntime",
        "onnxscript",
        "fastapi",
        "starlette",
        "uvicorn",
        "websockets",
    },
}
FILES = sorted(path for folder in PACKAGES for path in (ROOT / folder).glob("*.py"))


def imports(path: Path) -> set[str]:
    """Full names of all modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if node.module and node.module.startswith("action_indrnn") else {node.module or ""}
    return found


def floor(name: str) -> int:
    (level,) = [level for level, rooms in enumerate(FLOORS) if name in rooms]
    return level


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_points_up(path: Path) -> None:
    package = path.parent.name
    here = path.stem if package == "action_indrnn" else package
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "action_indrnn":
            if parts[0] not in sys.stdlib_module_names:
                assert parts[0] in ALLOWED[package], f"{path}: imports {name}"
            continue
        if parts[1] in ("__version__", here):  # a folder is one floor
            continue
        if here == "__init__":  # of types alone, see below
            continue
        assert floor(parts[1]) > floor(here), f"{path}: imports {name} from its own floor or above"


def test_every_file_has_its_floor() -> None:
    modules = {path.stem for path in (ROOT / "action_indrnn").glob("*.py")} - {"__init__"}
    assert modules | {"kernels", "data_prep", "configs"} == set.union(*FLOORS)


def test_the_head_loads_nothing() -> None:
    program = "import sys; before = set(sys.modules); import action_indrnn; print(*set(sys.modules) - before)"
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in found.stdout.split()} - sys.stdlib_module_names
    assert loaded == {"action_indrnn"}


@pytest.mark.parametrize(
    "module",
    [*(f"data_prep.{name}" for name in ("preprocess", "archive", "made", "catalogue")), "preparation"],
)
def test_preparing_loads_no_torch(module: str) -> None:
    program = f"import sys, action_indrnn.{module}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_only_the_front_door_has_an_autograd_function() -> None:
    holders = [path.name for path in FILES if "autograd.Function" in path.read_text(encoding="utf-8")]
    assert holders == ["recurrence.py"]
