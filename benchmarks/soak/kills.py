"""kill -9 at every kind of moment: what was recorded stays, and the same command comes to the same end."""

import itertools
import random
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.soak.little import KINDS, Content, Little, Place
from benchmarks.soak.older import make_old
from benchmarks.soak.victim import Hit, Victim

MOMENTS = ("step", "checkpoint", "record", "any")  # any: from outside, after a while
MOST = {"step": 24, "checkpoint": 28, "record": 380}  # how often a run passes each, about
OF_A_WORKER = {"step": 6, "checkpoint": 8}
# writes from each revision on, about; the first one kept no answers
OF_A_MIGRATION = {"0002": 54, "0003": 18, "0004": 14, "0005": 12}
LIFE = 6  # kills before a run is let through to its end
ON_WRITE = ("checkpoint", "record", "migration")
KILLED = (0, 4, -9)  # exit codes; 4: of a run whose worker was killed twice at one unit


@dataclass
class Kills:
    """Kills by what they were aimed at, and what went wrong."""

    little: Little
    wanted: Content
    rng: random.Random
    jobs: tuple[int, ...]  # 1, and 2 where workers are killed, too
    n: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def n_on_write(self) -> int:
        """Those in the middle of a write."""
        return sum(n for name, n in self.n.items() if name.rpartition(" ")[2] in ON_WRITE)

    def kill(self, n: int) -> None:
        """Kill n times, now and then in a migration; in the end every run goes on undisturbed."""
        lives = itertools.cycle(self._lives())
        while self.n.total() < n:
            kind, jobs, target = next(lives)
            with self.little.temporary(kind) as place:
                if target == "migration":
                    self._migrate(place, min(LIFE, n - self.n.total()))
                else:
                    self._live(place, jobs, target, min(LIFE, n - self.n.total()))

    def _lives(self) -> list[tuple[str, int, str]]:
        """(database, jobs, target)"""
        one = [(kind, 1, target) for kind in KINDS for target in ("group", "main", "group", "main", "migration")]
        two = [(kind, 2, target) for kind in KINDS for target in ("group", "main", *["worker"] * 4) if 2 in self.jobs]
        self.rng.shuffle(one)
        self.rng.shuffle(two)
        return [life for pair in itertools.zip_longest(one, two) for life in pair if life]

    def _live(self, place: Place, jobs: int, target: str, n: int) -> None:
        for number in range(n):
            before = place.content()
            moment = self.rng.choice(MOMENTS)
            most = (OF_A_WORKER.get(moment) if jobs == 2 else None) or MOST.get(moment)
            number_of_pass = self.rng.randint(1, self.little.part(most) if most else 1)
            hit = Hit(moment, number_of_pass, target, place.folder / f"hit{number}")
            if self._struck(place, jobs, hit) == 0:
                break
            after = place.content()
            gone = [name for name in ("episodes", "answers", "curves") if set(before[name]) - set(after[name])]
            self.faults += [f"{hit}: rows of {name} are gone" for name in gone]
        last = Victim(place, "run", "--jobs", str(jobs))
        what = f"{place.kind}, jobs {jobs}, {target}"
        self.faults += [f"{what}: {fault}" for fault in (*last.faults(), *place.faults(self.wanted))]

    def _struck(self, place: Place, jobs: int, hit: Hit) -> int | None:
        """The exit code of a run that was struck, or had ended before."""
        victim = Victim(place, "run", "--jobs", str(jobs), act=hit.act)
        if hit.point == "any" and victim.wait(self.rng.uniform(0, 2.0)) is None:
            victim.strike(hit.target, self.rng)
            hit.note.touch()
        self.faults += [f"{hit}: {fault}" for fault in victim.faults(KILLED)]
        if hit.note.exists():
            self.n[f"{place.kind}, jobs {jobs}, {hit.target}, {hit.point}"] += 1
        return victim.wait()

    def _migrate(self, place: Place, n: int) -> None:
        """Kill runs that bring an older database to the newest schema."""
        assert Victim(place, "run").wait() == 0
        revision = self.rng.choice(list(OF_A_MIGRATION))
        make_old(place.where, revision)
        for number in range(n):
            hit = Hit("record", self.rng.randint(1, OF_A_MIGRATION[revision]), "group", place.folder / f"hit{number}")
            victim = Victim(place, "run", act=hit.act)
            self.faults += [f"migration, {hit}: {fault}" for fault in victim.faults(KILLED)]
            if not hit.note.exists():
                break
            self.n[f"{place.kind}, jobs 1, group, migration"] += 1
        self.faults += [f"migration: {fault}" for fault in (*Victim(place, "run").faults(), *place.faults(self.wanted))]
