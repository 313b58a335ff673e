"""The arrow: `bench` may import methods, tables and reports; reports may import tables; others nothing."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("bench", "methods", "tables", "reports")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
# folder -> what it may import of fewshot_bench; `bench` is fewshot_bench itself and may import everything
ALLOWED = {"methods": ["methods"], "tables": ["tables"], "reports": ["reports", "tables"]}
ONLY_IN = {
    "sqlalchemy": "bench/results/store",
    "alembic": "bench/results/store",
    "click": "bench/cli",
    "rich": "bench/cli",
    "distributed": "bench/running/engines",
    "matplotlib": "reports",
}
NAMELESS = {"utils", "util", "common", "helpers", "helper", "base", "misc", "tools"}


def imported(path: Path) -> set[str]:
    """The dotted names of all modules that a file imports, anywhere in it; relative ones start with a dot."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            # `from fewshot_bench import tables` imports fewshot_bench.tables
            found |= {f"{module}.{name.name}" for name in node.names}
    return found


def test_the_arrow_holds():
    assert len(FILES) > 50  # the test looks at something
    for path in FILES:
        folder = path.relative_to(ROOT).parts[0]
        for name in imported(path):
            if folder in ALLOWED and name.split(".")[0] == "fewshot_bench":
                assert name.split(".")[1] in ALLOWED[folder], f"{path} imports {name}"


def test_libraries_stay_where_they_belong():
    for path in FILES:
        for name in imported(path):
            home = ONLY_IN.get(name.split(".")[0])
            assert home is None or path.is_relative_to(ROOT / home), f"{path} imports {name}"


@pytest.mark.parametrize("folder", [*FOLDERS, "tests"])
def test_our_own_imports_are_absolute(folder):
    """`import bench.grid` from the repository's root would load a second copy of everything."""
    for path in (ROOT / folder).rglob("*.py"):
        for name in imported(path):
            assert name.split(".")[0] not in ("", *FOLDERS, "tests"), f"{path} imports {name}"


def test_what_is_shared_has_a_name():
    names = {part for path in FILES for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not names & NAMELESS


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a statement loads in a fresh interpreter, where no package declares a method."""
    alone = "import importlib.metadata as m\nm.entry_points = lambda **_: ()\n"
    code = f"{alone}{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_methods_and_worker_processes_need_no_database_command_line_or_plots():
    loaded = loaded_by("import fewshot_bench.methods.registry, fewshot_bench.running.worker")
    assert "torch" in loaded
    assert not loaded & {"sqlalchemy", "alembic", "click", "rich", "matplotlib"}


def test_tables_need_no_torch_and_no_database():
    modules = [f"fewshot_bench.tables.{path.stem}" for path in (ROOT / "tables").glob("[a-z]*.py")]
    assert len(modules) > 5
    assert not loaded_by(f"import {', '.join(modules)}") & {"torch", "sqlalchemy", "click", "matplotlib"}


def test_the_store_is_read_without_torch():
    assert "torch" not in loaded_by("import fewshot_bench.results.store")


def test_help_is_fast_because_the_command_line_loads_little():
    heavy = {"torch", "sqlalchemy", "alembic", "matplotlib", "numpy", "scipy", "PIL", "jinja2"}
    assert not loaded_by("import fewshot_bench.cli") & heavy


def test_methods_are_listed_without_importing_one():
    listed = "import fewshot_bench.cli as c\nc.cli.main(['list', 'methods'], standalone_mode=False)"
    assert not loaded_by(listed) & {"torch", "numpy", "sqlalchemy"}


# within bench: what a folder may import of the others; the loose files stand below them all
ARROW = ("cli", "doctor", "replay", "running", "results", "experiment", "data")
ABOVE = {"__init__", "__main__"}  # the public interface, and the command


def test_the_arrow_holds_within_bench():
    for path in (ROOT / "bench").rglob("*.py"):
        room = path.relative_to(ROOT / "bench").with_suffix("").parts[0]
        below = ARROW[ARROW.index(room) :] if room in ARROW else (*ARROW, *ABOVE) if room in ABOVE else ()
        if room == "doctor":
            below = tuple(name for name in below if name != "replay")  # they stand side by side
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "fewshot_bench" and len(parts) > 1 and parts[1] in (*ARROW, *ABOVE):
                assert parts[1] in below or parts[1] in ("__init__", room), f"{path} imports {name}"


def test_loose_files_are_few():
    assert len(list((ROOT / "bench").glob("*.py"))) <= 8


def test_a_command_imports_one_module_of_work():
    """The others are at the top, and light: options in, one call, lines out."""
    for path in (ROOT / "bench" / "cli").rglob("*.py"):
        functions = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if is_function(node)]
        n_commands = sum("command(" in ast.unparse(decorator) for f in functions for decorator in f.decorator_list)
        deferred = [node for f in functions for node in ast.walk(f) if isinstance(node, ast.Import | ast.ImportFrom)]
        assert len(deferred) <= n_commands, path


def is_function(node: ast.AST) -> TypeGuard[ast.FunctionDef]:
    return isinstance(node, ast.FunctionDef)
