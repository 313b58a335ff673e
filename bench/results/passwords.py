"""What of a database's URL may be shown: never a part that may hold a password, however the URL is mistyped."""

import os
import re
import shlex
import sys
from urllib.parse import unquote

HIDDEN = "***"
_SERVERS = r"(?:post ?gres|mysql|mariadb|oracle|mssql|cockroach|redshift)"
_URL = re.compile(
    rf"\s*(?:jdbc:)?(?:[^:/]*:///?|{_SERVERS}[\w+ .-]*:/*|(?://|{_SERVERS}[\w+.-]*\W+)?(?=[^:@/\s]+:[^@/]*@)"
    r"|(?=.*\b(?:password|passwd|pwd)\s*=))",  # a list of pairs, as drivers take it
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"(\w*(?:password|passwd|pwd)\s*=\s*)('[^']*'|[^\s'&;]+)", re.IGNORECASE)
_NO_PORT = re.compile(r":(?!\d+$|[\da-fA-F:.]*\]).*")  # what stands in the place of a port
_SECRET_KEY = re.compile(r"pass|pwd|secret|token|key", re.IGNORECASE)


def is_url(where: str) -> bool:
    """Whether this is meant as the URL of a database and not as a path."""
    return _URL.match(where) is not None


def without_password(where: str) -> str:
    """A path as it is; of a URL scheme, host, port and database: no user, no query."""
    scheme, user, host, query = _parts(where)
    if not is_url(where) or (where.lower().startswith("sqlite") and not user):
        return _PASSWORD.sub(rf"\1{HIDDEN}", where)
    place, slash, name = host.partition("/")
    user, query = f"{HIDDEN}@" if user else "", f"?{HIDDEN}" if query else ""
    return _PASSWORD.sub(rf"\1{HIDDEN}", scheme + user + _NO_PORT.sub(f":{HIDDEN}", place) + slash + name + query)


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
    _, user, host, query = _parts(where)
    pairs = (pair.partition("=") for pair in query.split("&"))
    found = {value for key, _, value in pairs if _SECRET_KEY.search(key)}
    found |= {value.strip("'") for _, value in _PASSWORD.findall(unquote(where))}
    if ":" in user:
        password = user.partition(":")[2]
        found |= {user, password, *(part for part in re.split(r"[@/?#:%\s]", password) if len(part) > 3)}
    found |= {part[1:] for part in _NO_PORT.findall(host.partition("/")[0])}
    found |= {unquote(secret) for secret in found}
    return sorted((secret for secret in found if secret), key=len, reverse=True)


def _parts(where: str) -> tuple[str, str, str, str]:
    """(scheme, user and password, host and database, query); a password may hold anything, @ and ? too."""
    found = _URL.match(where)
    scheme, rest = (found.group(), where[found.end() :]) if found else ("", where)
    user, _, rest = rest.rpartition("@")
    host, _, query = rest.partition("?")
    return scheme, user, host, query
