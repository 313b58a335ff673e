"""`bench claims`: which cells it looks at, what it writes, and how it ends."""

import json
import shutil
import xml.etree.ElementTree as ET

import pytest

HEAD = 'schema = 1\nsource = "Note"\nways = [4]\nshots = [1, 5]\n'
CLAIM = """
[[claims]]
id = "{id}"
sentence = "A sentence."
where = "here"
reading = "A reading."
quantifier = "all"
kind = "better"
better = ["{better}"]
worse = ["{worse}"]
"""
OWN = """
[methods.mine]
method = "transfer"
frozen = true
[grids.mine]
methods = ["mine"]
ways = [4]
shots = [1, 5]
seeds = [0]
"""


@pytest.fixture
def run(place, bench, finished):
    """The tiny grid, finished, with a variant of the user's own."""
    place.add(OWN)
    if finished.exists():
        shutil.copytree(finished, place.folder / "out")
    else:
        assert bench("run", "-q").code == 0
        assert bench("run", "-q", "--grid", "mine").code == 0
        shutil.copytree(place.folder / "out", finished)
    return place


@pytest.fixture
def write(run):
    """A claims file of pairs (better, worse)."""

    def make(*pairs, head=HEAD):
        body = "".join(CLAIM.format(id=f"c{i}", better=a, worse=b) for i, (a, b) in enumerate(pairs))
        (run.folder / "mine.toml").write_text(head + body)
        return "mine.toml"

    return make


SAID = "as in the last run: --grid=mine\n"


def verdicts(ran):
    return [claim["verdict"] for claim in json.loads(ran.out)["claims"]]


def test_a_file_of_ones_own_on_variants_of_ones_own(write, bench):
    ran = bench("claims", "--claims", write(("mine", "protonet"), ("protonet", "mine")), "--format", "json")
    assert (ran.code, ran.err) == (0, SAID)
    for claim in json.loads(ran.out)["claims"]:
        assert not claim["missing"]  # though no grid has both
        assert [c["n_episodes"] for c in claim["comparisons"]] == [6, 6]


@pytest.mark.parametrize("kind", ["text", "html", "markdown", "latex", "json"])
def test_every_format_goes_to_stdout_or_a_file(kind, write, bench, run):
    file = write(("transfer", "protonet"))
    printed = bench("claims", "--claims", file, "--format", kind)
    assert (printed.code, printed.err) == (0, SAID)
    assert bench("claims", "--claims", file, "--format", kind, "-o", "-").out == printed.out
    assert bench("claims", "--claims", file, "--format", kind, "-o", "deep/claims.x").code == 0
    assert (run.folder / "deep" / "claims.x").read_bytes().decode() == printed.out
    assert "c0" in printed.out


def test_text_is_the_default(write, bench):
    ran = bench("claims", "--claims", write(("transfer", "protonet")))
    assert "\nClaims of Note. 1 sentence: " in ran.out
    assert "A reading." not in ran.out
    verbose = bench("claims", "-v", "--claims", write(("transfer", "protonet")))
    assert verbose.out.startswith("Decided")
    assert "A reading." in verbose.out


def test_a_junit_report_besides(write, bench, run):
    file = write(("transfer", "protonet"), ("protonet", "transfer"))
    assert bench("claims", "--claims", file, "--junit", "claims.xml").code == 0
    suite = ET.parse(run.folder / "claims.xml").getroot().find("testsuite")
    assert suite.get("tests") == "2"


def test_undecided_fails_only_under_strict(write, bench, run):
    """Against its own copy nothing is decided."""
    run.add('[methods.copy]\nmethod = "transfer"\n')
    undecided = write(("transfer", "copy"))
    assert verdicts(bench("claims", "--claims", undecided, "--format", "json")) == ["undecided"]
    assert bench("claims", "--claims", undecided).code == 0
    assert bench("claims", "--claims", undecided, "--fail-on", "refuted").code == 0
    assert bench("claims", "--claims", undecided, "--strict").code == 7


@pytest.mark.usefixtures("run")
def test_refuted_wins_over_undecided(write, bench, monkeypatch):
    """The verdicts are other tests' matter; here they are given."""
    from fewshot_bench.tables.claims import verdicts

    file = write(("transfer", "protonet"), ("protonet", "transfer"))
    given = {"verdicts": ["refuted", "undecided"]}
    judge_claim = verdicts.judge_claim

    def judged(claim, *rest, **about):
        one = judge_claim(claim, *rest, **about)
        object.__setattr__(one, "verdict", given["verdicts"][int(claim.id[1:])])
        return one

    monkeypatch.setattr(verdicts, "judge_claim", judged)
    words = ["claims", "--claims", file]
    assert bench(*words).code == 0
    assert bench(*words, "--fail-on", "refuted").code == 3
    assert bench(*words, "--strict").code == 7
    assert bench(*words, "--strict", "--fail-on", "refuted").code == 3
    given["verdicts"] = ["supported", "supported"]
    assert bench(*words, "--strict", "--fail-on", "refuted").code == 0


def test_what_the_options_leave_out_is_not_measured(write, bench):
    ran = bench("claims", "--claims", write(("transfer", "protonet")), "--shot", "1", "--format", "json")
    [claim] = json.loads(ran.out)["claims"]
    assert claim["verdict"] == "undecided"
    assert claim["missing"] == ["transfer 4-way 5-shot: not selected", "protonet 4-way 5-shot: not selected"]


@pytest.mark.usefixtures("run")
def test_the_shipped_claims_need_their_own_settings(bench):
    ran = bench("claims", "--way", "4", "--shot", "1,5", "--method", "transfer,protonet")
    assert ran.code == 0
    assert "10 sentences: 0 supported, 0 refuted, 10 undecided" in " ".join(ran.out.split())
    assert "not selected" in bench("claims", "-v", "--way", "4", "--shot", "1,5", "--method", "transfer,protonet").out
    assert bench("claims").code == 2  # 20 classes of 10


def test_nothing_measured_is_nothing_to_judge(write, bench, run):
    run.add('[methods.slow]\nmethod = "transfer"\nlr = 0.1\n[methods.fast]\nmethod = "transfer"\nlr = 0.5\n')
    ran = bench("claims", "--claims", write(("slow", "fast")))
    assert ran.code == 5
    assert ran.err.startswith(SAID + "bench: error: nothing that these claims speak of has results")
    assert ran.err.count("\n") == 2


def test_no_database(place, bench):
    (place.folder / "mine.toml").write_text(HEAD + CLAIM.format(id="c", better="transfer", worse="protonet"))
    ran = bench("claims", "--claims", "mine.toml")
    assert ran.code == 6
    assert not (place.folder / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CLAIM.format(id="c", better="transfer", worse="prononet"),
         "mine.toml: claim 'c': worse: unknown variant 'prononet': did you mean 'protonet'?"),
        (CLAIM.format(id="c", better="transfer", worse="protonet").replace('"all"', '"any"'),
         "mine.toml: claim 'c': quantifier: must be one of all, some, not 'any'"),
        ("", "mine.toml: claims: is missing"),
        ("]", "mine.toml: not valid TOML"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_one_line(text, message, place, bench):
    (place.folder / "mine.toml").write_text(HEAD + text)
    ran = bench("claims", "--claims", "mine.toml")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"bench: error: {message}")
    assert ran.err.count("\n") == 1


def test_a_file_that_is_not_there_or_not_text(place, bench):
    ran = bench("claims", "--claims", "none.toml")
    assert (ran.code, ran.err) == (2, "bench: error: --claims none.toml: cannot be read: No such file or directory\n")
    (place.folder / "bad.toml").write_bytes(b"\xff\xfe")
    ran = bench("claims", "--claims", "bad.toml")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "not UTF-8" in ran.err


def test_a_file_that_cannot_be_written(write, bench, run):
    (run.folder / "taken").write_text("")
    ran = bench("claims", "--claims", write(("transfer", "protonet")), "-o", "taken/claims.txt")
    assert ran.code == 2
    assert "cannot be written" in ran.err
