"""The whole table on one GPU: trains every method of a grid, tests every cell, and prints where the time went.

`make gpu` needs a Python with torch and a GPU. Nothing is installed: the package is imported from this checkout, and
wheels that the machine lacks are taken from `--wheels FOLDER`. Stopped at `--minutes`, or by a signal, it
goes on where it was when the same command is given again.
"""

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINKS = ROOT / ".links"  # the package as `make links` lays it out
SAVING_SECONDS = 15.0  # from the signal to everything being on the disk


class BusyShare:
    """The share of time in which the GPU computes, as nvidia-smi tells it, sampled in the background."""

    def __init__(self) -> None:
        self.samples: list[int] = []

    @contextmanager
    def sampled(self) -> Iterator[None]:
        """Take samples inside the block; none where there is no nvidia-smi."""
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=500"]
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        except OSError:
            yield
            return
        thread = threading.Thread(target=self._read, args=(process,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            process.terminate()
            process.wait()
            thread.join()

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.samples += [int(line) for line in process.stdout if line.strip().isdigit()]

    def __str__(self) -> str:
        if not self.samples:
            return "not measured (no nvidia-smi)"
        return f"{sum(self.samples) / len(self.samples):.0f} % of {len(self.samples)} samples"


def run(words: list[str], environment: dict[str, str], seconds: float) -> int:
    """`bench run`, asked to save and stop when the time is up; returns its exit code."""
    process = subprocess.Popen([sys.executable, "-m", "fewshot_bench", "run", *words], env=environment)
    try:
        return process.wait(timeout=max(1.0, seconds - SAVING_SECONDS))
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.send_signal(signal.SIGTERM)
        return process.wait()


def table(database: Path) -> list[str]:
    """What each training and its cells cost, from the results database."""
    connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)
    lines = [f"{'training':<24}{'iterations':>14}{'it/s':>10}{'minutes':>10}{'GiB':>8}{'cells':>8}{'test minutes':>14}"]
    trainings = connection.execute(
        "SELECT key, identity, iteration, iterations, seconds, peak_memory_bytes, device FROM trainings ORDER BY rowid"
    ).fetchall()
    devices = set()
    for key, identity, iteration, iterations, seconds, peak_bytes, device in trainings:
        cells = connection.execute(
            "SELECT variant, n_episodes, seconds FROM cells WHERE training_key = ? AND n_episodes > 0", (key,)
        ).fetchall()
        names = sorted({variant for variant, _, _ in cells}) or [json.loads(identity)["method"]]
        pace = iteration / seconds if seconds else 0.0
        lines.append(
            f"{' '.join(names):<24}{f'{iteration}/{iterations}':>14}{pace:>10.1f}{seconds / 60:>10.2f}"
            f"{peak_bytes / 2**30:>8.2f}{len(cells):>8}{sum(s for _, _, s in cells) / 60:>14.2f}"
        )
        devices.add(device)
    slowest = connection.execute(
        "SELECT variant, n_way, n_shot, n_episodes, seconds FROM cells ORDER BY seconds DESC LIMIT 5"
    ).fetchall()
    connection.close()
    lines += ["", "slowest cells:"]
    lines += [f"  {v}-{way}w{shot}s  {n} episodes in {s:.1f} s" for v, way, shot, n, s in slowest]
    return [*lines, "", f"device: {', '.join(sorted(devices))}"]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="strokes", help="data set; see bench run --data")
    parser.add_argument("--out", type=Path, default=Path("out/gpu"), help="folder of database and checkpoints")
    parser.add_argument("--grid", default="full")
    parser.add_argument("--budget", default="paper")
    parser.add_argument("--minutes", type=float, default=9.5, help="then save and stop")
    parser.add_argument("--jobs", default="3", help="processes that share the GPU")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--wheels", type=Path, help="folder of wheels to import from")
    parser.add_argument("--probe", action="store_true", help="only how fast each method is, in 90 seconds")
    parser.add_argument("more", nargs="*", help="more options of bench run, after --")
    return parser.parse_args()


def main() -> int:
    """Run the grid and print the table."""
    asked, started = arguments(), time.monotonic()
    wheels = ROOT / ".build" / "gpu"
    for wheel in sorted(asked.wheels.glob("*.whl")) if asked.wheels else []:
        zipfile.ZipFile(wheel).extractall(wheels)
    places = [str(LINKS), str(wheels), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    if asked.probe:
        probe = [sys.executable, "-m", "benchmarks.gpu_probe", "--out", str(asked.out), "--device", asked.device]
        return subprocess.call([*probe, *asked.more], env=environment, cwd=ROOT)
    words = ["--grid", asked.grid, "--budget", asked.budget, "--protocol", "single", "--data", asked.data]
    words += ["--device", asked.device, "--jobs", asked.jobs, "--out", str(asked.out), *asked.more]
    busy = BusyShare()
    with busy.sampled():
        code = run(words, environment, 60 * asked.minutes)
    database = asked.out / "results.sqlite"
    print(f"\nbench run ended with code {code} after {(time.monotonic() - started) / 60:.1f} minutes")
    if database.exists():
        print("\n".join(table(database)))
    print(f"GPU busy: {busy}")
    return code


if __name__ == "__main__":
    sys.exit(main())
