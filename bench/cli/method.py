"""`bench method`: does a method do what every method must?"""

import click

from fewshot_bench.errors import UsageError

BROKEN = 3


@click.group()
def method() -> None:
    """Check a method against the interface. (All methods: bench list methods.)"""


@method.command("check")
@click.argument("name")
def check(*, name: str) -> int:
    """Check that a registered method keeps the interface, on small generated images.

    NAME is a built-in method or an entry point. Prints one line per check; exits 3 if one fails.
    """
    from fewshot_bench.methods import contract, registry

    n_broken = n_held = 0
    try:
        for finding in contract.findings(name):
            state = "BROKEN" if finding.problem else "ok"
            click.echo(f"{state:<7} {finding.check}  ({finding.subject}){finding.problem and ': ' + finding.problem}")
            n_broken, n_held = n_broken + bool(finding.problem), n_held + (not finding.problem)
    except registry.UnusableMethod as error:
        raise UsageError(str(error)) from None
    click.echo(f"{name}: {n_held} checks hold, {n_broken} do not")
    return BROKEN if n_broken else 0
