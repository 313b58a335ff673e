"""`bench predict`: a stored model, on images of the user's own."""

from pathlib import Path

import click

from fewshot_bench.cli.options import out_option


@click.command()
@click.argument("cell")
@click.argument("images", nargs=-1, required=True, metavar="IMAGES...", type=click.Path(path_type=Path))
@click.option("--support", required=True, metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path),
              help="A folder a class, with its labelled images.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True, help="As what.")
@out_option
def predict(*, cell: str, images: tuple[Path, ...], support: Path, form: str, out: Path | None) -> None:
    """Say of which class images are. CELL is a stored result's name (maml-5w1s-s0) or key, or the beginning of it.

    Its model is fitted to the images of --support, any number of classes and images, by the rule that the result was
    measured under. A row an image: its path, the class, and its softmax as `probability`; JSON has every class's.
    """
    from fewshot_bench.cli.predict_text import predicted

    click.echo(predicted(cell, support, images, form, out), nl=False)
