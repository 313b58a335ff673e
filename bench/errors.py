"""The family of errors that a user can cause or must know of; the command line prints each as one line.

BenchError                 exit 1
├── UsageError             exit 2   a wrong option, key or value; an impossible setting
│   └── DataError          exit 2   a data set that cannot be used, naming the file
├── NothingSelected        exit 5   filters or tables that match nothing, nothing comparable
└── DatabaseError          exit 6   a conflict, a foreign or newer database, a full or read-only disk
    ├── NoResultsYet       exit 6   there is no database, or nothing in it
    └── OldSchema          exit 6   an earlier version made it
"""


class BenchError(Exception):
    """One line that says what is wrong, where, and what to do."""

    exit_code = 1


class UsageError(BenchError):
    """The command, the configuration or a setting is wrong."""

    exit_code = 2


class DataError(UsageError):
    """A data set cannot be used; the message names the file."""


class NothingSelected(BenchError):
    """Nothing matches what was asked for."""

    exit_code = 5


class DeviceFailed(BenchError):
    """A GPU ran out of memory or broke down: nothing is known against the work."""

    exit_code = 1

    def __str__(self) -> str:
        # not by __init__, which would be called again, on the whole sentence, where a worker process hands it over
        return (
            f"the GPU failed ({super().__str__()}); what was saved is kept: run the same command again, with fewer "
            "--jobs if its memory is short"
        )


class DatabaseError(BenchError):
    """The results database cannot be used as it is."""

    exit_code = 6


class NoResultsYet(DatabaseError):
    """There is nothing to read yet."""


LONGEST = 100  # letters that are compared: the time grows with their square


class OldSchema(DatabaseError):
    """An earlier version of this program made it; whoever writes it upgrades it."""


def did_you_mean(name: str, known: list[str]) -> str:
    """The end of an error message: the nearest known name, or all of them."""
    from difflib import get_close_matches

    near = get_close_matches(name[:LONGEST], known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(name or repr(name) for name in sorted(known))}"
