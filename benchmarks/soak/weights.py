"""Checkpoints that are cut, flipped, exchanged, or another training's: none is used without a word."""

import itertools
import random
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.soak.little import VARIANTS, Content, Little, Place
from benchmarks.soak.victim import Hit, Victim

DAMAGES = ("cut", "flipped", "exchanged", "another's")
SAID = {".partial": "it was not used and is now", ".safetensors": "is trained again: the weights"}


def damage(little: Little, wanted: Content, n: int, rng: random.Random) -> tuple[int, list[str]]:
    """Damage checkpoints n times and go on: how many files were damaged, and which of them without a word."""
    n_files, faults = 0, list[str]()
    cases = itertools.product({".partial": _stopped, ".safetensors": _tested_halfway}.items(), DAMAGES)
    before: dict[str, Place] = {}
    with ExitStack() as places:
        for (suffix, make), damaging in itertools.islice(itertools.cycle(cases), n):
            before[suffix] = before.get(suffix) or places.enter_context(make(little))
            with little.temporary() as place:
                shutil.copytree(before[suffix].out, place.out)
                paths = sorted((place.out / "checkpoints").glob(f"*{suffix}"))
                spoilt = _damage(rng.sample(paths, 2), damaging, rng)
                run = Victim(place, "run")
                wrong = [*run.faults(), *place.faults(wanted)]
                if (said := run.said().count(SAID[suffix])) != len(spoilt):
                    wrong.append(f"{len(spoilt)} damaged, {said} named: {run.said()[-500:]}")
                faults += [f"{suffix} {damaging}: {fault}" for fault in wrong]
                n_files += len(spoilt)
    return n_files, faults


def _damage(paths: list[Path], damaging: str, rng: random.Random) -> list[Path]:
    """Do it to one file or two; returns which."""
    one, other = paths
    content = bytearray(one.read_bytes())
    if damaging == "cut":
        one.write_bytes(content[: rng.randrange(len(content))])
    elif damaging == "flipped":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        one.write_bytes(content)
    else:
        one.write_bytes(other.read_bytes())
        if damaging == "exchanged":
            other.write_bytes(content)
            return paths
    return [one]


@contextmanager
def _stopped(little: Little) -> Iterator[Place]:
    """A place where every training was killed in its middle."""
    with little.temporary() as place:
        for number, (variant, seed) in enumerate(itertools.product(VARIANTS, little.seeds)):
            hit = Hit("step", 5, "main", place.folder / f"hit{number}")
            run = Victim(place, "run", "--method", variant, "--seed", str(seed), act=hit.act)
            assert run.wait() == -signal.SIGKILL, run.said()
        yield place


@contextmanager
def _tested_halfway(little: Little) -> Iterator[Place]:
    """A place where everything is trained and half is tested."""
    with little.temporary() as place:
        assert Victim(place, "run", "--shot", "1").wait() == 0
        yield place
