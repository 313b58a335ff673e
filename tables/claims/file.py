"""Sentences of papers with their readings, from TOML: each becomes a list of hypotheses that can be tested.

The sentence is quoted; how it is read is data beside it, because one sentence can have several readings.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from typing import Any, Literal

from fewshot_bench.tables.claims.section import ClaimError, Section, shown, unknown
from fewshot_bench.tables.parsing import ParseError, parse_toml
from fewshot_bench.tables.wording import cell_name, setting_name

SCHEMA = 1  # of the file
SHIPPED = "eshratifar2019.toml"
MARGIN_POINTS = 1.0  # the difference that power is computed for where a claim declares none

Quantifier = Literal["all", "some"]
FILE_KEYS = ("schema", "source", "published", "ways", "shots", "claims")
CLAIM_KEYS = (
    "id", "sentence", "where", "reading", "implied", "quantifier", "kind", "ways", "shots", "margin_points",
)  # fmt: skip
LEAST = {"ways": 2, "shots": 1}  # may stand at the top of the file, for the claims that have none of their own
KIND_KEYS = {"better": ("better", "worse", "pairs"), "more-shots": ("variants",), "above-chance": ("variants",)}


@dataclass(frozen=True)
class Place:
    """A variant in a setting: a cell, whatever its seeds."""

    variant: str
    n_way: int
    n_shot: int

    def __str__(self) -> str:
        return cell_name(self.variant, self.n_way, self.n_shot)


@dataclass(frozen=True)
class Hypothesis:
    """The mean accuracy at `higher` is above the one at `lower`, or above guessing where `lower` is None."""

    higher: Place
    lower: Place | None
    or_equal: bool = False  # "does not fall": in a printed table a tie holds. A test cannot tell the two apart

    def words(self, relation: str) -> str:
        """ "5-way 1-shot maml > transfer", with the given relation."""
        here, there = self.higher, self.lower
        if there and there.variant == here.variant:
            return f"{here.n_way}-way {here.variant}, {here.n_shot} shots {relation} {there.n_shot}"
        than = there.variant if there else "chance"
        return f"{setting_name(here.n_way, here.n_shot)} {here.variant} {relation} {than}"

    def __str__(self) -> str:
        return self.words("≥" if self.or_equal else ">")


@dataclass(frozen=True)
class Claim:
    """One sentence in one reading."""

    id: str  # lower-case letters, digits and hyphens
    sentence: str  # quoted
    where: str  # it stands
    reading: str  # in words
    implied: bool  # the sentence does not say it, but takes it for granted
    quantifier: Quantifier  # whether all of the hypotheses are claimed, or at least one
    kind: str
    margin: float  # a fraction: the true difference that power is computed for
    hypotheses: tuple[Hypothesis, ...]  # at least one


@dataclass(frozen=True)
class ClaimFile:
    """All sentences of one source."""

    name: str  # of the file
    source: str
    published: str  # the id of the source's own table in `published/`; empty where there is none
    claims: tuple[Claim, ...]

    @property
    def places(self) -> tuple[Place, ...]:
        """Every cell that the claims speak of, once."""
        sides = [side for claim in self.claims for h in claim.hypotheses for side in (h.higher, h.lower)]
        return tuple(dict.fromkeys(side for side in sides if side))


def shipped_claims() -> str:
    """The text of the packaged claims: those of the paper that this benchmark starts from."""
    return resources.files("fewshot_bench.tables.claims").joinpath(SHIPPED).read_text(encoding="utf-8")


def parse_claims(text: str | bytes, name: str, variants: Collection[str], published: Collection[str]) -> ClaimFile:
    """A claims file; `variants` and `published` are the names that it may use. Raises ClaimError."""
    try:
        document = parse_toml(text)
    except ParseError as error:
        raise ClaimError(f"{name}: {error}") from None
    head = Section(name, document)
    schema = head.get("schema")
    if type(schema) is not int or schema != SCHEMA:
        raise head.wrong("schema", f"{shown(schema)} is not known; this version reads {SCHEMA}")
    head.only(FILE_KEYS)
    table = head.text("published") if "published" in document else ""
    if table and table not in published:
        raise head.wrong("published", unknown("table", table, published))
    entries = head.list_of("claims", dict, "a [[claims]] table")
    shared = {key: head.counts(key, least) for key, least in LEAST.items() if key in document}
    claims = [_claim(Section(name, shared | entry, _label(entry, i)), variants) for i, entry in enumerate(entries, 1)]
    for i, claim in enumerate(claims):
        if claim.id in {earlier.id for earlier in claims[:i]}:
            raise Section(name, {}, f"claim {shown(claim.id)}").wrong("id", "two claims have it")
    return ClaimFile(name, head.text("source"), table, tuple(claims))


def _claim(section: Section, variants: Collection[str]) -> Claim:
    identity = section.text("id")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", identity):
        raise section.wrong("id", f"{shown(identity)} has more than lower-case letters, digits and single hyphens")
    kind = section.choice("kind", KIND_KEYS)
    section.only(CLAIM_KEYS + KIND_KEYS[kind])
    return Claim(
        id=identity,
        sentence=section.text("sentence"),
        where=section.text("where"),
        reading=section.text("reading"),
        implied=section.flag("implied"),
        quantifier="all" if section.choice("quantifier", ("all", "some")) == "all" else "some",
        kind=kind,
        margin=section.number("margin_points", MARGIN_POINTS) / 100,
        hypotheses=_hypotheses(section, kind, variants),
    )


def _hypotheses(section: Section, kind: str, variants: Collection[str]) -> tuple[Hypothesis, ...]:
    ways, shots = (section.counts(key, least) for key, least in LEAST.items())
    if kind == "better":
        pairs = _pairs(section, variants)
        return tuple(
            Hypothesis(Place(a, way, shot), Place(b, way, shot)) for way in ways for shot in shots for a, b in pairs
        )
    names = section.variants("variants", variants)
    if kind == "above-chance":
        return tuple(Hypothesis(Place(v, way, shot), None) for way in ways for shot in shots for v in names)
    if len(shots) < 2:
        raise section.wrong("shots", "more shots need at least two numbers of them")
    steps = list(pairwise(sorted(shots)))
    return tuple(
        Hypothesis(Place(v, way, more), Place(v, way, fewer), or_equal=True)
        for way in ways for v in names for fewer, more in steps
    )  # fmt: skip


def _pairs(section: Section, variants: Collection[str]) -> list[tuple[str, str]]:
    """(better, worse), as listed or all of `better` with all of `worse`."""
    if "pairs" in section.table:
        for key in ("better", "worse"):
            if key in section.table:
                raise section.wrong(key, "stands beside pairs: give one or the other")
        pairs = section.list_of("pairs", list, 'two variants, ["better", "worse"]')
        for pair in pairs:
            if len(pair) != 2 or not all(isinstance(name, str) for name in pair):
                raise section.wrong("pairs", f'each entry must be two variants, ["better", "worse"], not {shown(pair)}')
            section.variants("pairs", variants, pair)
    else:
        worse = section.variants("worse", variants)
        pairs = [(a, b) for a in section.variants("better", variants) for b in worse]
    for a, b in pairs:
        if a == b:
            raise section.wrong("pairs" if "pairs" in section.table else "worse", f"{shown(a)} is compared with itself")
    return [(a, b) for a, b in pairs]


def _label(entry: dict[str, Any], number: int) -> str:
    identity = entry.get("id")
    return f"claim {shown(identity)}" if isinstance(identity, str) else f"claim number {number}"
