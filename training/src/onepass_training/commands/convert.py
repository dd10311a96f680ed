"""`convert`: a MovieLens data set as a folder of logs in our schema."""

import argparse
from pathlib import Path

from ..data.movielens import convert


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Declares the command."""
    command = commands.add_parser(
        "convert", help="turn a MovieLens data set into a folder of logs in our schema",
        description="Reads a MovieLens data set (u.data and u.item, ratings.dat and movies.dat, or ratings.csv and movies.csv) "
        "and writes its items, events and description (dataset.json) to OUT. `train --data` does so by itself; this is for "
        "looking at the logs, or changing them, first.",
    )  # fmt: skip
    command.add_argument("source", type=Path, metavar="FOLDER", help="the data set, unpacked")
    command.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder to write; one of logs is replaced")
    return command


def run(arguments: argparse.Namespace) -> None:
    """Converts."""
    convert(arguments.source, arguments.out)
    print(f"logs: {arguments.out}")
