"""What `bench predict` writes."""

import csv
import io
import json
from pathlib import Path

import click

from fewshot_bench.cli.options import out_folder
from fewshot_bench.data.image_files import class_folders, rows_of_classes
from fewshot_bench.data.readers.given_images import turned_files
from fewshot_bench.data.readers.trees import Folder
from fewshot_bench.errors import DataError
from fewshot_bench.files import checkpoints, database
from fewshot_bench.replay import model as models
from fewshot_bench.tables.documents import csv_text


def predicted(cell: str, support: Path, images: tuple[Path, ...], form: str, out: Path | None) -> str:
    """Fit the model of a cell to class folders, and name images: CSV or JSON."""
    folder = out_folder(out)
    model = models.load(database(folder), cell, weights=checkpoints(folder))
    if not support.is_dir():
        raise DataError(f"there is no folder {support}")
    tree = Folder(support, follow_links=True)
    if not (classes := class_folders(tree)):
        raise DataError(f"{support} holds no class folders: expected <class>/<image> in it")
    rows = rows_of_classes(tree, classes)
    model.fit([tree.path / row.file for row in rows], [row.label for row in rows])
    shares = model.predict_proba(images)
    if turned := turned_files([*(support / row.file for row in rows), *images]):
        click.echo(turned, err=True)
    click.echo(f"with {model.name} of {model.of}", err=True)
    labels = [str(label) for label in model.classes]
    found = list(zip(map(str, images), shares.argmax(1).tolist(), shares.tolist(), strict=True))
    if form == "json":
        named = [
            {"image": image, "label": labels[best], "probabilities": dict(zip(labels, row, strict=True))}
            for image, best, row in found
        ]
        return json.dumps(named) + "\n"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "label", "probability"])
    writer.writerows([csv_text(image), csv_text(labels[best]), f"{row[best]:.6f}"] for image, best, row in found)
    return text.getvalue()
