"""What is printed cannot command the terminal, whatever names it, and shows no password."""

import csv
import fcntl
import io
import json
import os
import pty
import signal
import termios
from contextlib import suppress

import pytest
from rich.table import Table

from fewshot_bench.cli import output
from fewshot_bench.cli.output import cleaned
from fewshot_bench.cli.screen import CleanConsole

RED, TITLE, BELL = "\x1b[31m", "\x1b]0;owned\x07", "\x07"
HOSTILE = f"a{RED}{TITLE}\x9b2J\x7f\r\u202eb\u2066\ud800"


def test_commands_are_spelled_out():
    assert cleaned(HOSTILE) == r"a\x1b[31m\x1b]0;owned\x07\x9b2J\x7f\r\u202eb\u2066\ud800"
    assert cleaned("one\r\ntwo\n\tthree, 元, हिन्दी, ±, 👍🏽") == "one\r\ntwo\n\tthree, 元, हिन्दी, ±, 👍🏽"


def test_a_console_keeps_its_own_colours_and_cleans_the_text(monkeypatch):
    monkeypatch.delenv("BENCH_DB", raising=False)
    console = CleanConsole(force_terminal=True, width=200)
    console.file = io.StringIO()
    table = Table("name")
    table.add_row(HOSTILE.replace("\ud800", ""))
    console.print(table, style="yellow")
    console.print(f"{RED}x", markup=False)
    shown = console.file.getvalue()
    assert "\x1b[33m" in shown  # yellow
    assert not any(text in shown for text in (RED, "\x1b]", BELL, "\x9b", "\u202e"))


def test_no_stream_takes_commands(place, bench):
    """From options, from folders, from errors."""
    folder = place.folder / f"evil{RED}{TITLE}"
    folder.mkdir()
    for words in (("data", "describe", str(folder)), ("status", "--out", str(folder)), (f"--{RED}x",), (f"x{TITLE}",),
                  ("replay", f"{RED}"), ("run", "--data", f"{folder}/x"), ("run", "--method", f"{RED}")):  # fmt: skip
        ran = bench(*words)
        assert ran.code in (2, 5, 6), (words, ran.err)
        assert "\x1b" not in ran.out + ran.err
        assert "\x07" not in ran.out + ran.err


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_traceback_gives_commands_or_a_password(encoding, place):
    url = "postgresql://me:hunter2@h/db"
    environment = f"import os; os.environ |= dict(BENCH_DB={url!r})\nimport sys\n"
    streams = f"sys.stderr.reconfigure(encoding={encoding!r})\n"
    failing = f"def fail(**_): raise RuntimeError('{url}' + chr(27) + ']0;x' + chr(7))\n"
    before = environment + streams + "import fewshot_bench.cli as c\n" + failing + "c.status.callback = fail"
    ran = place.in_own_process("status", before=before)
    assert (ran.code, "Traceback" in ran.err) == (1, True)
    assert r"]0;x\x07" in ran.err
    assert "\x1b" not in ran.err
    assert "hunter2" not in ran.err


@pytest.mark.parametrize(
    "url",
    ["post gres://me:hunter2@h", "postgresql:me:hunter2@h/db", "postgresql://me@h/db?password=hunter2",
     "postgresql://me:hunter2@h:port/db", "postgresql://me:hunter2@[::1", "postgresql://me@h:hunter2/db",
     "postgresql+psycopg://me:hunter2@127.0.0.1:1/db", "mysql://me:hunter2@h/db", "me:hunter2@h/db"],
)  # fmt: skip
def test_passwords_reach_no_stream(url, place, bench, monkeypatch):
    monkeypatch.setattr("fewshot_bench.results.store.transactions.LONGEST_PAUSE_SECONDS", 0.01)
    for named in (url, None):
        if named is None:
            monkeypatch.setenv("BENCH_DB", url)
        for words in (("merge", url), ("check", "--against", url)) if named else (("status",), ("export",)):
            ran = bench(*words)
            assert ran.code in (1, 2, 6), (words, ran.err)
            assert "hunter2" not in ran.out + ran.err, words
            assert len(ran.err.splitlines()) == 1


def test_json_and_csv_stay_what_they_are(run, bench):
    assert json.loads(bench("status", "--json").out)["cells"]
    rows = list(csv.DictReader(io.StringIO(bench("export").out)))
    assert {row["variant"] for row in rows} == {"transfer", "protonet"}


def read(terminal: int, side: int) -> bytes:
    """What a process prints on a terminal that no one else has open."""
    os.close(side)
    shown = b""
    with suppress(OSError):  # the other side is closed
        while part := os.read(terminal, 65536):
            shown += part
    os.close(terminal)
    return shown


def test_a_terminal_gets_no_commands_from_progress(place, photos):
    """On a real terminal, where bars are drawn."""
    source = place.folder / f"photos[bold]{TITLE}"
    source.symlink_to(photos)
    terminal, side = pty.openpty()
    process = place.begin("run", "--data", str(source), "--method", "transfer", out=side, err=side)
    shown = read(terminal, side)
    assert process.wait() == 0, shown.decode()
    assert b"\x1b[" in shown  # bars
    assert TITLE.encode() not in shown


def test_an_error_breaks_between_words_on_a_terminal_and_a_command_stays_whole(place, monkeypatch):
    terminal, side = pty.openpty()
    termios.tcsetwinsize(side, (24, 40))
    process = place.begin("report", "--out", "two words", out=side, err=side)
    shown = read(terminal, side)
    assert process.wait() == 6
    assert shown.decode().splitlines() == [
        "bench: error: two words/results.sqlite:",
        "there are no results yet; make some with",
        "`bench run --out 'two words'`",
    ]


def test_who_presses_ctrl_c_waits_no_longer_for_who_does_not_read():
    """As a pager that waits for a key: what was left to print ended in a traceback."""
    reader, writer = os.pipe()
    os.write(writer, bytes(fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)))
    opened = os.fdopen(writer, "w")
    stream = output.Cleaned(opened)
    stream.write("the rest")
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        output._let_go(stream)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not os.read(reader, 5000).strip(b"\0")
    os.close(reader)
    opened.close()
