"""`report`: trains and evaluates the grid of variants, and writes the page that compares them."""

import argparse
import shutil
from pathlib import Path

from ..arguments import natural, positive
from ..report.grid import SEEDS, SMOKE_VARIANTS, base_config, runs
from ..report.page import write_page
from ..report.results import alone, read
from ..report.runner import Runner, compare_files, run_command

ROOT = Path(__file__).parents[4]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Declares the command."""
    report = commands.add_parser(
        "report", help="train and evaluate the model without each of its parts, and write docs/model-report.md",
        description="Runs what of the grid has no result yet, adds a line a run to training/results/grid.jsonl, and writes "
        "docs/model-report.md with its plots. Can be stopped at any time: it goes on where it was.",
    )  # fmt: skip
    report.add_argument("--only", default="", metavar="NAMES", help="these variants, by name with commas between")
    report.add_argument(
        "--seeds", type=_seeds, default=SEEDS, metavar="LIST", help="seeds, with commas between (default 1,2,3)"
    )
    report.add_argument("--jobs", type=positive, default=2, help="runs at once, one thread each (default 2)")
    report.add_argument(
        "--smoke", action="store_true", help="two tiny runs, in under a minute; page and results go to .onepass"
    )
    report.add_argument("--page-only", action="store_true", help="run nothing, write the page from the results as they are")
    report.add_argument("--list", action="store_true", help="say what would be run, in order, and stop")
    return report


def _seeds(text: str) -> tuple[int, ...]:
    found = tuple(natural(part) for part in text.split(","))
    if len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"{text!r} names a seed twice")
    return found


def run(arguments: argparse.Namespace) -> None:
    """Runs the grid and writes the page; with --smoke two tiny runs, away from what is committed."""
    base, work = base_config(arguments.smoke), ROOT / ".onepass" / ("report-smoke" if arguments.smoke else "report")
    results = (work if arguments.smoke else ROOT / "training" / "results") / "grid.jsonl"
    page = (work if arguments.smoke else ROOT / "docs") / "model-report.md"
    only = tuple(name for name in arguments.only.split(",") if name) or (SMOKE_VARIANTS if arguments.smoke else ())
    seeds = arguments.seeds[:1] if arguments.smoke else arguments.seeds
    wanted = list(runs(seeds, only))
    if arguments.list:
        print("\n".join(run.name for run in wanted))
        return
    failed = 0
    if arguments.smoke and not arguments.page_only:
        with alone(work):  # always from nothing: it shows that the way works
            results.unlink(missing_ok=True)
            shutil.rmtree(work / "runs", ignore_errors=True)
    if not arguments.page_only:
        failed = Runner(base, results, work, run_command(arguments.smoke), compare_files, arguments.jobs).run(wanted)
    notes = ROOT / "training" / "results"
    write_page(page, read(results), notes / "notes.toml", notes / "throughput.json", base.as_json())
    print(f"report: {page}")
    if failed:
        raise ValueError(f"{failed} runs failed; {results} says which and why, and their logs are in {work / 'runs'}")
