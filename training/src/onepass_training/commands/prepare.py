"""`prepare`: logs to a dataset on disk, checked."""

import argparse
from pathlib import Path

from ..data.open import open_dataset


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Declares the command."""
    command = commands.add_parser(
        "prepare", help="check somebody's logs and write them as buckets that training reads",
        description="Reads a folder of logs in our schema, a mesh's export or a MovieLens data set (docs/data.md), checks it, "
        "says what was read and what was left out, and writes it to OUT/dataset, whole or not at all. Logs that were prepared "
        "before and have not changed are left as they are; `train --data` takes OUT/dataset as well as the logs themselves.",
    )  # fmt: skip
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="the logs")
    command.add_argument("--items", type=Path, metavar="FILE", help="the items, where the folder has none")
    command.add_argument(
        "--vocabulary", type=Path, metavar="PATH",
        help="a release or a dataset.json that names actions and surfaces, where the folder has no dataset.json",
    )  # fmt: skip
    command.add_argument(
        "--out", type=Path, required=True, metavar="OUT", help="folder to write to; a dataset there is replaced"
    )
    return command


def run(arguments: argparse.Namespace) -> None:
    """Prepares."""
    dataset = open_dataset(
        arguments.data, arguments.out, arguments.items, arguments.vocabulary, say=lambda line: print(line, flush=True)
    )
    print(f"dataset: {dataset.directory}", flush=True)
