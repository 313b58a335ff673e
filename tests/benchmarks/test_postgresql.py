"""The server of tests and soak ends with whoever started it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.contest.environments import ROOT

SERVES = """
import os, signal
from benchmarks.postgresql import server
with server() as found:
    print(found.database("x"), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_does_not_outlive_who_was_killed():
    killed = subprocess.run([sys.executable, "-c", SERVES], cwd=ROOT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder, patience = Path(killed.stdout.strip().partition("host=")[2]), time.monotonic() + 120
    assert folder.name.startswith("pg")
    while folder.exists():  # it is removed when the server has ended
        assert time.monotonic() < patience
        time.sleep(0.05)
