"""The command line; only this folder imports click and rich. Commands are thin: options in, one call, lines out."""

import errno
import sys
from pathlib import Path
from typing import Any

import click

from fewshot_bench import __version__, machine
from fewshot_bench.cli.check import check
from fewshot_bench.cli.claims import claims
from fewshot_bench.cli.compare import compare
from fewshot_bench.cli.data import data
from fewshot_bench.cli.db import db
from fewshot_bench.cli.doctor import doctor
from fewshot_bench.cli.exchange import export, import_, merge
from fewshot_bench.cli.listing import init, list_
from fewshot_bench.cli.method import method
from fewshot_bench.cli.output import between_words, clean_streams
from fewshot_bench.cli.power import power
from fewshot_bench.cli.predict import predict
from fewshot_bench.cli.replay import replay
from fewshot_bench.cli.report import report
from fewshot_bench.cli.run import run
from fewshot_bench.cli.status import cancel, show, status
from fewshot_bench.cli.tune import tune
from fewshot_bench.cli.verify import verify
from fewshot_bench.cli.why import why
from fewshot_bench.errors import BenchError, UsageError

GROUPS = {
    "Make results": (init, list_, data, method, tune, run, status, cancel),
    "Read them": (report, compare, claims, power),
    "Use them": (predict,),
    "Trust them": (check, db, doctor, show, replay, why, verify),
    "Share them": (merge, export, import_),
}


class HadEnough(Exception):
    """Whoever reads the output does not want the rest: `bench export | head`."""


class Grouped(click.Group):
    """Help lists the commands by what they are for."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. A broken pipe gets another name: click would end with 1 for it."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise HadEnough from None

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group."""
        width = max(len(command.name or "") for commands in GROUPS.values() for command in commands)
        for title, commands in GROUPS.items():
            with formatter.section(title):
                room = formatter.width - width - 6
                formatter.write_dl(
                    [(f"{command.name:<{width}}", command.get_short_help_str(room)) for command in commands]
                )


@click.group(cls=Grouped, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bench")
def cli() -> None:
    """Train and compare few-shot image classifiers.

    \b
    bench run -n      what would be done
    bench run         do it; after an interruption, run it again
    bench report      tables and plots of stored results
    """


for command in (command for commands in GROUPS.values() for command in commands):
    cli.add_command(command)


def main() -> None:
    """Run the command line; every error of the user's is one line on stderr and an exit code of its own."""
    with clean_streams():
        _main()


def _main() -> None:
    try:
        _stand_somewhere()
        code = cli.main(prog_name="bench", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:  # plain `bench`
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        message = " ".join(error.format_message().split())
        _fail(message + _where_options_are_listed(error), error.exit_code)
    except click.exceptions.Exit as ending:
        sys.exit(ending.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except BenchError as error:
        _fail(" ".join(str(error).split()), error.exit_code)
    except HadEnough:
        _forget_output()
        sys.exit(0)
    except Exception as error:
        if machine.lacks_memory(error):
            _fail("there is too little memory; what was stored is safe: run the same command again with more", 1)
        if not isinstance(error, OSError):
            raise
        _fail_of_system(error)


def _fail_of_system(error: OSError) -> None:
    """End with what no command foresaw, of a file that we may not look at, say, or of output that cannot be written."""
    if error.filename is not None:
        too_long = error.errno == errno.ENAMETOOLONG  # only a word of the user's can be
        _fail(f"{error.filename}: {error.strerror}", UsageError.exit_code if too_long else 1)
    _forget_output()
    _fail(f"the output cannot be written: {error.strerror}", 1)


def _stand_somewhere() -> None:
    """Raises UsageError in a folder that is gone: libraries of torch's end the process there, each in its own words."""
    try:
        Path.cwd()
    except OSError as error:
        raise UsageError(f"the current folder cannot be used ({error.strerror}): change to another one") from None


def _forget_output() -> None:
    """What is buffered cannot be written either."""
    machine.lead_nowhere(sys.stdout.fileno())


def _where_options_are_listed(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None or context.parent is None:
        return ""
    return f" ({context.command_path} --help lists the options)"


def _fail(message: str, code: int) -> None:
    click.echo(between_words(f"bench: error: {message}"), err=True)
    sys.exit(code)
