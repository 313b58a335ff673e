"""However a database's URL is mistyped, its password is not shown."""

import shlex
import time

import pytest

from fewshot_bench.results.passwords import (
    command_without_passwords,
    hide_passwords,
    is_url,
    secrets_of,
    without_password,
)

SECRET = "hunter2"
URLS = {
    "postgresql+psycopg://me:hunter2@127.0.0.1:1/db": "postgresql+psycopg://***@127.0.0.1:1/db",
    "post gres://me:hunter2@h": "post gres://***@h",
    "postgresql:me:hunter2@h/db": "postgresql:***@h/db",
    "postgresql//me:hunter2@h/db": "postgresql//***@h/db",
    "me:hunter2@h/db": "***@h/db",
    "postgresql:/me:hunter2@h/db": "postgresql:/***@h/db",
    "postgresql://h/db?password=hunter2": "postgresql://h/db?***",
    "postgresql://me@h/db?user=me&sslpassword=hunter2&x=1": "postgresql://***@h/db?***",
    "postgresql://me@h:hunter2/db": "postgresql://***@h:***",
    "postgresql://me:hunter2@h:port/db": "postgresql://***@h:***",
    "postgresql://me:hunter2@[::1/db": "postgresql://***@[:***",
    "postgresql://me:hunter2@[::1]:5432/db": "postgresql://***@[::1]:5432/db",
    "postgresql://me:a@hunter2@h/db": "postgresql://***@h/db",
    "postgresql://me:a?hunter2@h/db": "postgresql://***@h/db",
    "postgresql://me:a/hunter2@h/db": "postgresql://***@h/db",
    "postgresql://me:hunter2": "postgresql://me:***",
    "postgresql:me:hunter2": "postgresql:me:***",
    "sqlite+pysqlcipher://:hunter2@/file": "sqlite+pysqlcipher://***@/file",
    "https://me:hunter2@h": "https://***@h",
    "//me:hunter2@h/db": "//***@h/db",
    "jdbc:postgresql://h/db?user=me&password=hunter2": "jdbc:postgresql://h/db?***",
    "host=h user=me password=hunter2": "host=h user=me password=***",
    "DRIVER={x};PWD=hunter2": "DRIVER={x};PWD=***",
    "postgresql://h/db;password=hunter2": "postgresql://h/db;password=***",
    "postgresql://h/db?options=-c%20password%3Dhunter2": "postgresql://h/db?***",
    "sqlite:///x?password=hunter2": "sqlite:///x?password=***",
    "postgresql://me:a#hunter2@h/db": "postgresql://***@h/db",
    "host=h password='hunter2'": "host=h password=***",
    "host=h password='it\\'s hunter2'": "host=h password=***",
    "host=h pass=hunter2": "host=h pass=***",
    '{"host":"h","password":"hunter2"}': '{"host":***',
    "host: h, password: hunter2": "host:***",
    'PGPASSWORD="hunter2" h': "PGPASSWORD=***",
    "psql -h h --password hunter2": "psql -h h --password ***",
    "h:5432:db:me:hunter2": "h:***",
    "*:*:*:me:a/hunter2": "*:***",
    "postgresql me:hunter2@h": "postgresql me:***@h",
    "postgresql://me:a/hunter2": "postgresql://me:***",
    "postgresql://me%3Ahunter2@h/db": "postgresql://***@h/db",
    "postgresql://me\uff1ahunter2@h/db": "postgresql://***@h/db",
    "oracle://me/hunter2@h": "oracle://***@h",
    "me/hunter2@//h:1521/db": "***@//h:1521/db",
    "sqlite:///x.db?key=hunter2": "sqlite:///x.db?key=***",
}


@pytest.mark.parametrize("url", URLS)
def test_what_is_shown_of_a_url_holds_no_secret(url, monkeypatch):
    assert is_url(url)
    assert without_password(url) == URLS[url]
    assert any(SECRET in secret for secret in secrets_of(url))
    monkeypatch.setenv("BENCH_DB", url)
    assert SECRET not in hide_passwords(f'connection to "{url}" failed: {url.partition("//")[2]}, {SECRET}')
    merge = shlex.join(["bench", "merge", url, "--out", "out"])
    assert command_without_passwords(merge) != merge
    assert SECRET not in command_without_passwords(merge)
    assert SECRET not in command_without_passwords(shlex.join(["bench", "merge", f"{url} x='y'"]))


def test_a_number_that_is_no_port_may_be_a_password():
    assert without_password("postgresql:me:1234567") == "postgresql:me:***"
    assert "1234567" in secrets_of("postgresql:me:1234567")


@pytest.mark.parametrize(
    "where",
    ["out/results.sqlite", "/a@b/c:d.sqlite", "my:file.sqlite", r"C:\x.sqlite", "sqlite:////a/b.sqlite", "postgres.db",
     "sqlite:///a.sqlite?mode=ro", "cifar-fs:/data/me@host", "omniglot:~/x", "maml and not 35w", "a=b,c", "a:b:c",
     "key=5", "/data/bypass=1/x.sqlite"],
)  # fmt: skip
def test_paths_are_shown_as_they_are(where, monkeypatch):
    assert without_password(where) == where
    assert command_without_passwords(f"bench run --out '{where}'").replace("'", "") == f"bench run --out {where}"
    monkeypatch.setenv("BENCH_DB", where)
    assert hide_passwords(f"{where}: gone") == f"{where}: gone"


def test_the_name_of_a_user_is_a_word_like_others(monkeypatch):
    monkeypatch.setenv("BENCH_DB", "postgresql://bench:hunter2@h/results")
    assert hide_passwords("bench report: results, hunter2, bench:hunter2") == "bench report: results, ***, ***"


def test_short_passwords_leave_other_words_alone(monkeypatch):
    monkeypatch.setenv("BENCH_DB", "postgresql://u:an@h/db")
    assert hide_passwords("an answer: 'an'") == "*** answer: '***'"


@pytest.mark.parametrize("word", ["a", "key", "password", ":", "?key", "pwd ", "a/b@", "::*"])
def test_long_words_are_looked_through_in_no_time(word):
    started = time.process_time()
    without_password(word * (100_000 // len(word)))
    secrets_of(word * (100_000 // len(word)))
    assert time.process_time() - started < 1
