"""`bench predict`: a stored model, on images of the user's own."""

from pathlib import Path

import click

from fewshot_bench.cli.options import out_option


@click.command()
@click.argument("cell")
@click.argument("images", nargs=-1, required=True, metavar="IMAGES...", type=click.Path(path_type=Path))
@click.option("--support", required=True, metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path),
              help="Labelled images, one folder per class.")  # fmt: skip
@click.option(
    "--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True, help="Output format."
)
@out_option
def predict(*, cell: str, images: tuple[Path, ...], support: Path, form: str, out: Path | None) -> None:
    """Classify images with a stored model.

    CELL is a stored result's name (maml-5w1s-s0) or key, or the beginning of that. Its model is adapted to the images
    of --support, with any number of classes and images, by the rule that the result was measured under. Prints one row
    per image: path, class, and its softmax as `probability`; JSON has those of all classes.
    """
    from fewshot_bench.cli.predict_text import predicted

    click.echo(predicted(cell, support, images, form, out), nl=False)
