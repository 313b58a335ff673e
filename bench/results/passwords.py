"""What of a database's URL may be shown: never a part that may hold a password, however the URL is mistyped."""

import os
import re
import shlex
import sys
from unicodedata import normalize
from urllib.parse import unquote

HIDDEN = "***"
_SERVERS = r"(?:post ?gres|mysql|mariadb|oracle|mssql|cockroach|redshift)"
_URL = re.compile(
    rf"\s*(?:jdbc:)?(?:[^:/]*:///?|{_SERVERS}[\w+ .-]*:/*|(?://|{_SERVERS}[\w+.-]*\W+)?(?=[^:@/\s]+:[^@/]*@)"
    r"|(?=[^/@\s]+/[^/@\s]+@//))",
    re.IGNORECASE,
)
_PGPASS = re.compile(r"([^:/\s]*):(?:\d+|\*):[^:/]*:[^:/]*:.+", re.DOTALL)  # a line of ~/.pgpass
_KEY = r"(?:password|passwd|passphrase|pwd|\bpass|(?<=[?&;])\w{0,30}(?:key|token|secret)\w{0,30})"
# in a list of pairs, as drivers take it; a value may hold anything, and end anywhere
_PASSWORD = re.compile(rf"""({_KEY}["']?\s*[=:]\s*|--password\s+)(.+)""", re.IGNORECASE | re.DOTALL)
_NO_PORT = re.compile(r":(?!\d{1,5}$|[\da-fA-F:.]*\]).*", re.DOTALL)  # what stands in the place of a port
_SECRET_KEY = re.compile(r"pass|pwd|secret|token|key", re.IGNORECASE)


def is_url(where: str) -> bool:
    """Whether this is meant as the URL of a database, or as another way to reach a server, and not as a path."""
    return bool(_URL.match(where) or _PGPASS.match(where) or _PASSWORD.search(where))


def without_password(where: str) -> str:
    """A path as it is; of a URL scheme, host, port and database: no user, no query."""
    if line := _PGPASS.match(where):
        return f"{line[1]}:{HIDDEN}"
    scheme, user, host, query = _parts(where)
    if not is_url(where) or (where.lower().startswith("sqlite") and not user):
        return _PASSWORD.sub(rf"\1{HIDDEN}", where)
    place, slash, name = host.partition("/")
    shown = f"{place}{slash}{name}"
    if found := _NO_PORT.search(place):  # of which the name may be a part
        shown = f"{place[: found.start()]}:{HIDDEN}"
    user, query = f"{HIDDEN}@" if user else "", f"?{HIDDEN}" if query else ""
    return _PASSWORD.sub(rf"\1{HIDDEN}", scheme + user + shown + query)


def command_without_passwords(command: str) -> str:
    """A command as it may be recorded: words that are URLs lose what may be secret in them."""
    words = shlex.split(command)
    return shlex.join(map(without_password, words)) if any(map(is_url, words)) else command


def hide_passwords(text: str, *others: str) -> str:
    """A text without the secrets of BENCH_DB, of URLs on the command line and of others: whoever speaks of them."""
    urls = {os.environ.get("BENCH_DB", ""), *sys.argv[1:], *others}
    for secret in (secret for url in urls for secret in secrets_of(url)):
        edge = "" if len(secret) > 3 else r"\b"  # a short one may be part of other words
        text = re.sub(f"{edge}{re.escape(secret)}{edge}", HIDDEN, text)
    return text


def secrets_of(where: str) -> list[str]:
    """What may be secret in a URL, longest first."""
    if not is_url(where):
        return []
    scheme, user, host, query = _parts(where)
    pairs = (pair.partition("=") for pair in query.split("&"))
    passwords = [value for key, _, value in pairs if _SECRET_KEY.search(key)]
    passwords += [after for _, after in _PASSWORD.findall(unquote(where))]
    if line := _PGPASS.match(where):
        passwords.append(where[line.end(1) + 1 :])
    if strange := _NO_PORT.search(host.partition("/")[0]):
        passwords.append(host[strange.start() + 1 :])
    account = re.split("[:/]", unquote(normalize("NFKC", user)), maxsplit=1)
    found = set[str]()
    if len(account) > 1 or "//" not in scheme:
        passwords.append(account[-1])
        found.add(user)  # whole: its first part is a name, which may be any word
    for password in passwords:
        found |= {password, *(part for part in re.split(r"""[@/?#:%&;,={}\s"']""", password) if len(part) > 3)}
    found |= {unquote(secret) for secret in found}
    return sorted((secret for secret in found if secret), key=len, reverse=True)


def _parts(where: str) -> tuple[str, str, str, str]:
    """(scheme, user and password, host and database, query); a password may hold anything, @ and ? too."""
    found = _URL.match(where)
    scheme, rest = (found.group(), where[found.end() :]) if found else ("", where)
    user, _, rest = rest.rpartition("@")
    host, _, query = rest.partition("?")
    return scheme, user, host, query
