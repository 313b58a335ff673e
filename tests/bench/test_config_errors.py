"""What is wrong in a bench.toml stops everything, in one line that names file, section, key and value."""

import re
from pathlib import Path

import pytest

from fewshot_bench.config import load
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment import grid
from fewshot_bench.experiment.selection import Selection

GRID = '[grids.own]\nmethods = ["maml"]\nways = [5]\nshots = [1]\nseeds = [0]\n'
BUDGET = "[budgets.own]\niterations = { other = 1 }\nepisodes = { 1 = 1 }\nadaptation = {}\n"

# what is written, and what the one line must say
WRONG = {
    "unknown section": ("[rum]\nx = 1\n", ["[rum]", "did you mean 'run'"]),
    "section that is a value": ("run = 5\n", ["run", "5"]),
    "list of budgets": ("budgets = [1]\n", ["budgets", "[1]"]),
    "adaptation that is a value": ("adaptation = 0.1\n", ["adaptation", "0.1"]),
    "methods that are a value": ('methods = "maml"\n', ["methods", "'maml'"]),
    "variant that is a value": ("[methods]\nmine = 3\n", ["[methods]", "mine", "3", "[methods.mine]"]),
    "unknown key": ("[run]\nbudgte = 'x'\n", ["[run]", "'budgte'", "did you mean 'budget'"]),
    "unknown key far from all": ("[model]\nzzz = 1\n", ["'zzz'", "known: backbone, drop_block, filters, input_size, "]),
    "text for a number": ('[model]\nfilters = "32"\n', ["[model] filters", "'32'", "whole number"]),
    "fraction for a count": ("[model]\nfilters = 32.0\n", ["[model] filters", "32.0", "whole number"]),
    "truth for a count": ("[model]\nfilters = true\n", ["[model] filters", "True", "whole number"]),
    "number for a text": ("[run]\nout = 3\n", ["[run] out", "3", "text"]),
    "everything dropped": ("[model]\ndrop_block = 1.0\n", ["[model] drop_block", "1.0", "between 0 and 0.9"]),
    "no filters": ("[model]\nfilters = 0\n", ["[model] filters", "0", "at least 1"]),
    "negative threads": ("[run]\nthreads = -1\n", ["[run] threads", "-1", "at least 1"]),
    "negative jobs": ("[run]\njobs = -1\n", ["[run] jobs", "-1", "at least 0"]),
    "a seed beyond all": (GRID.replace("[0]", "[2147483648]"), ["[grids.own] seeds", "between 0 and 2147483647"]),
    "one way": (GRID.replace("[5]", "[5, 1]"), ["[grids.own] ways", "1", "at least 2"]),
    "crop of less than all": ("[augmentation]\ncrop_padding = -1\n", ["crop_padding", "-1", "at least 0"]),
    "too much jitter": ("[augmentation]\njitter = 1.5\n", ["[augmentation] jitter", "1.5", "between 0 and 1"]),
    "no queries": ("[episodes]\nn_query = 0\n", ["[episodes] n_query", "0", "at least 1"]),
    "protocol": ('[run]\nprotocol = "singel"\n', ["[run] protocol", "'singel'", "'single'"]),
    "device": ('[run]\ndevice = "gpgpu"\n', ["[run] device", "'gpgpu'", "auto, cpu, cuda"]),
    "unknown grid": ('[run]\ngrid = "ful"\n', ["[run] grid", "'ful'", "'full'"]),
    "unknown budget": ('[run]\nbudget = "quik"\n', ["[run] budget", "'quik'", "'quick'"]),
    "grid without a key": ("[grids.own]\nways = [5]\n", ["[grids.own]", "'methods'"]),
    "grid of nothing": (GRID.replace("[1]", "[]"), ["[grids.own] shots", "[]", "at least one"]),
    "grid of a number": (GRID.replace("[5]", "5"), ["[grids.own] ways", "5", "list"]),
    "grid with a way twice": (GRID.replace("[5]", "[5, 20, 5]"), ["[grids.own] ways", "[5, 20, 5]", "twice"]),
    "grid of an unknown variant": (GRID.replace("maml", "mmal"), ["[grids.own] methods", "'mmal'", "'maml'"]),
    "grid of an unknown budget": (GRID + 'budget = "papre"', ["[grids.own] budget", "'papre'", "'paper'"]),
    "grid of an unknown protocol": (GRID + 'protocol = "x"', ["[grids.own] protocol", "'x'", "matched"]),
    "budget without others": (BUDGET.replace("other", "maml"), ["[budgets.own] iterations", "'other'"]),
    "budget of no iterations": (BUDGET.replace("other = 1", "other = 0"), ["iterations.other", "0"]),
    "budget without one shot": (BUDGET.replace("1 = 1", "5 = 1"), ["[budgets.own] episodes", "'1'"]),
    "budget for a shot in words": (BUDGET.replace("1 = 1", "one = 1"), ["[budgets.own] episodes", "'one'"]),
    "budget for ways without shots": (BUDGET.replace("1 = 1", "1 = 1, 20w = 1"), ["[budgets.own] episodes", "'20w'"]),
    "budget for some ways alone": (BUDGET.replace("1 = 1", "20w1s = 1"), ["[budgets.own] episodes", "'1'"]),
    "budget that is a number": (BUDGET.replace("{ 1 = 1 }", "600"), ["[budgets.own] episodes", "600"]),
    "threads beyond all": ("[run]\nthreads = 1000000\n", ["[run] threads", "1000000", "between 1 and 512"]),
    "jobs beyond all": ("[run]\njobs = 1000000\n", ["[run] jobs", "1000000", "between 0 and 512"]),
    "iterations beyond all": (BUDGET.replace("other = 1", f"other = {10**18}"), ["iterations.other", "between 1 and"]),
    "iterations as a power": (BUDGET.replace("other = 1", "other = 1e18"), ["iterations.other", "whole number"]),
    "iterations that are no number": (BUDGET.replace("other = 1", "other = nan"), ["iterations.other", "nan"]),
    "episodes beyond all": (BUDGET.replace("1 = 1 ", f"1 = {10**9} "), ["episodes.1", "between 1 and 1000000"]),
    "a shot of many digits": (BUDGET.replace("1 = 1 ", f'"{"9" * 5000}" = 1 '), ["not valid TOML", "200 letters"]),
    "filters that no memory holds": ("[model]\nfilters = 1000000\n", ["[model] filters", "between 1 and 2048"]),
    "images that no memory holds": ("[data]\nimage_size = 1000000\n", ["image_size", "between 0 and 1024"]),
    "a shot beyond all": (BUDGET.replace("1 = 1 ", "9999999999 = 1 "), ["[budgets.own] episodes", "numbers of shots"]),
    "ways beyond all": (GRID.replace("[5]", "[1000000]"), ["[grids.own] ways", "between 2 and 10000"]),
    "shots beyond all": ("[training]\nshot = 1000000\n", ["[training] shot", "between 1 and 10000"]),
    "queries beyond all": ("[episodes]\nn_query = 1000000\n", ["n_query", "between 1 and 10000"]),
    "negative iterations": (BUDGET.replace("other = 1", "other = -1"), ["iterations.other", "-1", "at least 1"]),
    "a dropped share that is no number": ("[model]\ndrop_block = nan\n", ["drop_block", "nan", "between 0 and 0.9"]),
    "a long list for a text": (f"[run]\nout = {list(range(5000))}\n", ["[run] out", "[0, 1, 2", "text"]),
    "nested too deeply": ("a = " + "[" * 5000 + "]" * 5000, ["not valid TOML", "nested too deeply"]),
    "a key of many parts": (".".join(["a"] * 20_000) + " = 1", ["not valid TOML", "more than 50 parts"]),
    "a number of many digits": ("[run]\nthreads = " + "9" * 5000, ["not valid TOML", "200 letters"]),
    "a long name": (f"[run]\ngrid = '{'x' * 10**6}'\n", ["[run] grid: unknown grid 'xxx"]),
    "broken TOML": ("[run\n", ["not valid TOML", "line 1"]),
    "a key twice": ("[run]\nout = 'a'\nout = 'b'\n", ["not valid TOML"]),
}  # fmt: skip


# names of variants that --method, -k and shells could not say, and the reason
UNSAYABLE = {
    "lr=0.01, k=5": "a comma separates names",
    "two words": "a blank separates words",
    "a/b": "it holds '/'",
    "a\\b": "it holds",
    "-a": "begin with a letter or a digit",
    ".a": "begin with a letter or a digit",
    "": "1 to 60 letters",
    "a" * 61: "1 to 60 letters",
    "a\x1b[31m": "it holds '\\x1b'",
    "a\u202eb": "it holds '\\u202e'",
    "a\u00a0b": "it holds",
    "(a)": "it holds '('",
    "a'b": "it holds",
    "$a": "it holds '$'",
    "not": "-k has another meaning",
    "e\u0301": "Unicode NFC",
}


def written(folder: Path, text: str) -> Path:
    """A configuration file of this text."""
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", UNSAYABLE)
def test_names_that_the_command_line_cannot_say_are_refused(name, tmp_path):
    import json

    path = tmp_path / "mine.toml"
    for section, rest in (
        ("methods", 'method = "maml"'),
        ("budgets", BUDGET.split("\n", 1)[1]),
        ("grids", GRID.split("\n", 1)[1]),
    ):
        path.write_text(f"[{section}.{json.dumps(name)}]\n{rest}\n", encoding="utf-8")
        with pytest.raises(UsageError) as error:
            load(path)
        message = str(error.value)
        assert message.startswith(f"{path}: [{section}] ")
        assert "cannot be a name" in message
        assert UNSAYABLE[name] in message
        assert message.isprintable()


@pytest.mark.parametrize("name", ["lr=0.01", "maml-5_x+y:z.2", "元学习", "é", "हिन्दी", "5way"])
def test_names_in_any_script_are_read(name, tmp_path):
    path = written(tmp_path, f'[methods."{name}"]\nmethod = "maml"\n')
    assert name in load(path).methods


def test_a_zero_has_no_sign(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[augmentation]\njitter = -0.0\n")
    assert str(load(path).augmentation.jitter) == "0.0"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding_is_named(encoding, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[run]\nthreads = 2\n", encoding=encoding)
    with pytest.raises(UsageError, match="it is not UTF-8: a zero byte at byte"):
        load(path)


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path):
    path = written(tmp_path, "\ufeff[run]\nthreads = 2\n")
    assert load(path).run.threads == 2


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_one_line(case, tmp_path):
    text, said = WRONG[case]
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as error:
        load(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 600
    assert [words for words in said if words not in message] == [], message


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b"[run]\nout = '\xe9'\n")
    for name, said in {
        "none.toml": "No such file",
        "latin.toml": "not valid TOML",
        ".": "Is a directory",
    }.items():
        with pytest.raises(UsageError, match=said) as error:
            load(tmp_path / name)
        assert "\n" not in str(error.value)


# settings of methods and of the adaptation are checked where the methods are known
SETTINGS = {
    "unknown setting": ("inner_stps = 1", ["[methods.mine]", "'inner_stps'", "did you mean 'inner_steps'"]),
    "negative rate": ("lr = -0.1", ["[methods.mine] lr", "-0.1", "at least 0"]),
    "rate that is no number": ("lr = nan", ["[methods.mine] lr", "nan"]),
    "infinite rate": ("lr = inf", ["[methods.mine] lr", "inf", "finite"]),
    "steps beyond all": (f"inner_steps = {10**18}", ["inner_steps", "between 1 and 1000000"]),
    "no inner steps": ("inner_steps = 0", ["[methods.mine] inner_steps", "0", "at least 1"]),
    "norm": ('norm = "suport"', ["[methods.mine] norm", "'suport'", "did you mean 'support'"]),
    "text for a truth": ('first_order = "yes"', ["[methods.mine] first_order", "'yes'", "true or false"]),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_a_wrong_setting_is_one_line(case, tmp_path):
    setting, said = SETTINGS[case]
    path = written(tmp_path, f'[methods.mine]\nmethod = "maml"\n{setting}\n')
    with pytest.raises(UsageError) as error:
        grid.variant(load(path), "mine")
    message = str(error.value)
    assert "\n" not in message
    assert [words for words in said if words not in message] == [], message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr = 0.1", "needs the key 'method'"),
        ('method = "mmal"', "did you mean 'maml'"),
        ("method = 5", "method = 5"),
    ],
)
def test_a_variant_needs_a_known_method(text, said, tmp_path):
    path = written(tmp_path, f"[methods.mine]\n{text}\n")
    with pytest.raises(UsageError, match=said):
        grid.variant(load(path), "mine")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[adaptation]\nstpes = 3", "did you mean 'steps'"),
        ("[adaptation]\nlr_per_way = -1", r"^\[adaptation\] lr_per_way = -1"),
        ("[adaptation]\nlr_per_way = nan", r"^\[adaptation\] lr_per_way = nan must be at least 0 and finite"),
        ("[adaptation]\nsteps = -1\n[budgets.quick]\nadaptation = { steps = 2 }", r"^\[adaptation\] steps = -1"),
        ('[adaptation]\nhead = "svm"', "known: '', centroid, cosine, logistic"),
        ("[budgets.quick]\nadaptation = { steps = 0 }", r"^\[budgets.quick.adaptation\] steps = 0"),
        (
            '[methods.maml]\nmethod = "maml"\nadaptation = { steps = 0 }',
            r"^\[methods.maml.adaptation\] steps = 0",
        ),
        ("[budgets.quick]\niterations = { protonte = 5 }", "did you mean 'protonet'"),
    ],
)
def test_adaptation_and_budgets_are_checked_before_anything_trains(text, said, tmp_path):
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=said) as error:
        grid.check_settings(grid.resolve(load(path), Selection(grid="full")))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("iterations = 3\niterations_factor = 2.0", "[methods.mine] has both iterations and iterations_factor"),
        ('iterations = 3\ncost_of = "maml"', "[methods.mine] has both iterations and cost_of"),
        ("iterations_factor = 1e300", "[methods.mine] iterations_factor = 1e+300 must be between 0 and 1000000"),
        ('cost_of = "mamal"', "[methods.mine] cost_of: unknown variant 'mamal': did you mean 'maml'?"),
        ('cost_of = "mine"', "[methods.mine] cost_of = 'mine' names itself"),
        ('cost_of = "maml-equal"', "[methods.mine] cost_of = 'maml-equal': that one itself names another, 'maml-mtl'"),
    ],
)
def test_how_long_a_variant_trains_is_said_once(text, said, tmp_path):
    path = written(tmp_path, f'[methods.mine]\nmethod = "maml"\n{text}\n')
    with pytest.raises(UsageError, match=re.escape(said)):
        grid.check_settings(grid.resolve(load(path), Selection(grid="full", methods=("mine",))))


def test_a_factor_makes_no_more_iterations_than_can_be_set(tmp_path, full_size):
    path = written(tmp_path, '[methods.mine]\nmethod = "maml"\niterations_factor = 1e5\n')
    with pytest.raises(UsageError, match=r"\[methods.mine\] would train for 6,000,000,000 iterations, more than"):
        grid.cells(grid.resolve(load(path), Selection(grid="full", budget="paper", methods=("mine",))), full_size)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[families.characters.methods]\nmmal = { lr = 1 }", "[families.characters.methods]: unknown method 'mmal'"),
        ("[families.characters.methods]\nmaml = { inner_stps = 1 }", "[families.characters.methods.maml] has no key"),
        ("[families.characters]\nmaml = { inner_steps = 1 }", "[families.characters] has no key 'maml'"),
        (
            "[families.charcters.methods]\nmaml = {}",
            "[families]: unknown family 'charcters': did you mean 'characters'?",
        ),
        (
            "[families.characters.methods]\nmaml = { iterations = 1, iterations_factor = 2.0 }",
            "[families.characters.methods.maml] has both",
        ),
        ("[families]\ncharacters = 1", "[families] characters = 1 must be a table"),
    ],
)
def test_families_are_checked_whatever_the_data(text, said, tmp_path):
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=re.escape(said)):
        grid.check_settings(grid.resolve(load(path), Selection(grid="full")))
