"""Ours against other libraries: `python -m benchmarks.peers`, or `make benchmark`.

Makes each library's environment, compares everybody's gradients, times the sides in turn, and writes what it found
to docs/measurements.md, in short to docs/performance.md, and to benchmarks/results/. Progress goes to stderr, the
table to stdout.
"""

import argparse
import json
import os
import platform
import re
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.contest import agreement, images, report, rounds
from benchmarks.contest.conversation import Worker, WorkerFailed
from benchmarks.contest.environments import ROOT, SIDES, CannotInstall, python_of
from benchmarks.contest.work import METHODS, SHAPES, Work
from fewshot_bench.errors import BenchError
from fewshot_bench.results import provenance

PAGE, SHORT_PAGE = ROOT / "docs" / "measurements.md", ROOT / "docs" / "performance.md"
SHORT = "peers in short"
RESULTS = ROOT / "benchmarks" / "results"
DRAWN = "strokes"


def main() -> int:
    """The command."""
    arguments = _arguments()
    try:
        if arguments.write:
            pages("")  # a page without its markers is found now, not in a quarter of an hour
        contest = run(arguments)
    except (BenchError, WorkerFailed, ValueError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    section = report.markdown(contest)
    print(section)
    if arguments.write:
        write(contest, section)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), help="besides ours and plain")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="the least that one reading takes; default 1")
    parser.add_argument("--processes", type=int, default=1, help="of each side, at once")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall",
                        help="processor: where other programs run, too; one thread only")  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true", help="as defaults two shapes, MAML and ProtoNet, short readings"
    )
    parser.add_argument("--write", action="store_true", help="write the pages and benchmarks/results/")
    arguments = parser.parse_args()
    if arguments.clock == "processor" and arguments.threads > 1:
        parser.error("--clock processor adds up the time of all threads: it needs --threads 1")
    quick = arguments.quick
    arguments.methods = arguments.methods or (["maml", "protonet"] if quick else list(METHODS))
    arguments.shapes = arguments.shapes or (["28x28x1", "32x32x3"] if quick else list(SHAPES))
    arguments.seconds = arguments.seconds or (0.3 if quick else 1.0)
    return arguments


def run(arguments: argparse.Namespace) -> report.Contest:
    """Install, check, time. Raises DataError or WorkerFailed where ours or the reference cannot work."""
    layout = rounds.Layout(arguments.rounds, arguments.seconds, arguments.processes, arguments.threads, arguments.clock)
    sides = [side for side in SIDES if side in {*arguments.sides, "ours", agreement.REFERENCE}]
    works = [Work.of(method, shape) for shape in arguments.shapes for method in arguments.methods]
    real = os.environ.get("BENCH_REAL_DATA")
    sources = [DRAWN, real] if real else [DRAWN]
    missing, hellos = _install(sides)
    can = {side: hello["methods"] for side, hello in hellos.items()}
    checks = _check(works, can, sources)
    wrong = {(check.method, check.shape, side) for check in checks for side in check.wrong()}
    timings = []
    for work in works:
        fit = [side for side in can if work.method in can[side] and (work.method, work.shape, side) not in wrong]
        _say(f"{work.method} at {work.shape}: {', '.join(fit)}")
        timings.append(rounds.measure(work, fit, images.prepared(sources[-1], work.shape), layout))
        _say(f"  {report.in_short(timings[-1])}")
    origin = provenance.collect("", "cpu", layout.threads, layout.processes)
    return report.Contest(
        command=shlex.join(["python", "-m", "benchmarks.peers", *sys.argv[1:]]),
        commit=origin.git_commit[:12] + ("-dirty" if origin.git_dirty else ""),
        date=origin.started_at[:10],
        machine=f"{origin.facts['processor']}, {origin.facts['cores']} cores",
        versions={"Python": platform.python_version()}
        | {n: v for h in hellos.values() for n, v in h["versions"].items()},
        import_bytes=hellos[agreement.REFERENCE]["bytes"],
        layout=layout,
        missing=missing,
        checks=checks,
        timings=timings,
    )


def _install(sides: list[str]) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Why sides are missing, and how those that are there introduce themselves."""
    missing, hellos = {}, {}
    for side in sides:
        _say(f"{side}: setting up")
        try:
            python_of(side)
            with Worker(side) as worker:
                hellos[side] = worker.ask("hello")
        except (CannotInstall, WorkerFailed) as error:
            if side in ("ours", agreement.REFERENCE):
                raise WorkerFailed(str(error)) from None
            missing[side] = str(error)
    return missing, hellos


def _check(works: list[Work], can: dict[str, list[str]], sources: list[str]) -> list[report.Check]:
    checks = []
    with ExitStack() as stack:
        workers = {side: stack.enter_context(Worker(side)) for side in can}
        for work in works:
            for source in sources:
                _say(f"{work.method} at {work.shape}: comparing gradients on {Path(source).name}")
                some = {side: worker for side, worker in workers.items() if work.method in can[side]}
                outcomes, tied = agreement.compare(some, work, images.prepared(source, work.shape))
                checks.append(report.Check(work.method, work.shape, Path(source).name, tied, outcomes))
    return checks


def write(contest: report.Contest, section: str) -> None:
    """The section into the page, the record into the history: a file a commit, below the machine's name."""
    machine = re.sub(r"[^a-z0-9]+", "-", contest.machine.lower()).strip("-")
    layout = f"{contest.layout.processes}p{contest.layout.threads}t"
    file = RESULTS / machine / f"{contest.commit}-{layout}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(report.record(contest), indent=1) + "\n", encoding="utf-8")
    for page, text in pages(section).items():
        page.write_text(text, encoding="utf-8")
    _say(f"written: {file.relative_to(ROOT)}, {PAGE.relative_to(ROOT)} and {SHORT_PAGE.relative_to(ROOT)}")


def pages(section: str) -> dict[Path, str]:
    """The pages with this section, and it in short, in their places. Raises ValueError where they have none."""
    return {
        PAGE: report.placed(PAGE.read_text(encoding="utf-8"), section),
        SHORT_PAGE: report.placed(SHORT_PAGE.read_text(encoding="utf-8"), report.summary(section), SHORT),
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
