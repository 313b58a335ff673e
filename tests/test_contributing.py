"""The example in CONTRIBUTING.md, added as the page says: one file, one line, and the contract holds."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "CONTRIBUTING.md"


def test_the_example_method_passes_the_contract(tmp_path):
    links, package = ROOT / ".links" / "fewshot_bench", tmp_path / "fewshot_bench"
    package.mkdir()
    for link in links.iterdir():
        (package / link.name).symlink_to(link.resolve())
    (package / "methods").unlink()
    shutil.copytree(ROOT / "methods", package / "methods", ignore=shutil.ignore_patterns("__pycache__"))
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (package / "methods" / "cosine.py").write_text(code, encoding="utf-8")
    registry = package / "methods" / "registry.py"
    text = registry.read_text(encoding="utf-8").replace(
        "METHODS: dict[str, type[Method]] = {",
        'from fewshot_bench.methods.cosine import Cosine\nMETHODS: dict[str, type[Method]] = {\n    "cosine": Cosine,',
    )
    registry.write_text(text, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/methods/test_contract.py",
        "-k",
        "cosine",
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d\d passed", done.stdout.splitlines()[-1]), done.stdout
