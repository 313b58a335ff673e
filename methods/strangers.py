"""Code that somebody else wrote: it may raise anything, an end of the program or of a generator too."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import NamedTuple

import torch

LONGEST = 300  # letters of what an error says


class Escape(Exception):
    """What such code raised that is no `Exception`, in one line."""


class Modes(NamedTuple):
    """What torch does by default, which any code of a process may change for all code after it."""

    gradients: bool
    dtype: torch.dtype
    device: torch.device


def modes() -> Modes:
    """Those of now."""
    return Modes(torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_default_device())


@contextmanager
def contained(interrupt: type[KeyboardInterrupt] = KeyboardInterrupt) -> Iterator[None]:
    """Whatever is raised inside is an `Exception`: an Escape where it was SystemExit, GeneratorExit or another.

    What is printed inside is no part of a command's answer and goes to standard error; torch's modes are set back.

    interrupt: what a person raises by Ctrl-C, which ends the program
    """
    before = modes()
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (Exception, interrupt):
        raise
    except BaseException as error:
        raise Escape(in_one_line(error)) from error
    finally:
        torch.set_grad_enabled(before.gradients)
        torch.set_default_dtype(before.dtype)
        if torch.get_default_device() != before.device:  # None is the CPU; naming it would slow every call down
            torch.set_default_device(None if before.device.type == "cpu" else before.device)


def in_one_line(error: BaseException) -> str:
    """The kind of an error and what it says, which may be an error again."""
    try:
        said = " ".join(str(error).split())[:LONGEST]
    except Exception:  # noqa: BLE001  # its `__str__` is a stranger's too
        said = "without words"
    kind = "" if isinstance(error, Escape) else type(error).__name__
    line = ": ".join(filter(None, (kind, said)))
    return "".join(letter if letter.isprintable() else "?" for letter in line)
