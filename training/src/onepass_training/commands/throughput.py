"""`throughput`: what our training step costs beside a plain PyTorch loop of the same trunk."""

import argparse
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ..arguments import positive
from ..config import LARGE, SMOKE, TrainConfig
from ..learn.device import DEVICES
from ..learn.throughput import OURS, PLAIN, Effort, compare
from ..machine import commit, machine
from ..report.grid import BASE_CONFIG
from ..world.config import REPORT_WORLD


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Declares the command."""
    throughput = commands.add_parser(
        "throughput", help="measure our training step beside a plain PyTorch loop",
        description="Trains for some steps with our loop and with a plain one (a sequence for each slate, dense mask), turn "
        "by turn in processes of their own, and writes medians, ratios and peak memory as JSON.",
    )  # fmt: skip
    size = throughput.add_mutually_exclusive_group()
    size.add_argument("--smoke", action="store_true", help="a tiny shape, some seconds: its numbers say little")
    size.add_argument("--large", action="store_true", help="the large configuration, for a GPU")
    throughput.add_argument("--out", type=Path, metavar="FILE", help="where the JSON goes (default: standard output)")
    throughput.add_argument("--threads", type=positive, default=1, help="CPU threads of each loop (default 1)")
    throughput.add_argument("--rounds", type=positive, default=7, help="turns of each loop (default 7)")
    throughput.add_argument("--device", choices=DEVICES, default="auto", help="auto: a GPU where there is one (default)")
    return throughput


def run(arguments: argparse.Namespace) -> None:
    """Measures and writes."""
    steps = 2 if arguments.smoke else 6
    rounds = min(3, arguments.rounds) if arguments.smoke else arguments.rounds
    effort = Effort(rounds, steps, threads=arguments.threads, device=arguments.device)
    found = []
    for config in _configurations(arguments):
        found.append(compare(config, effort))
        print(_sentence(found[-1]), flush=True)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps({"date": date, "commit": commit(), "machine": machine(), "shapes": found}, indent=2) + "\n"
    if arguments.out is None:
        print(text, end="")
        return
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    partial = arguments.out.with_name(f"{arguments.out.name}.partial")
    partial.write_text(text)
    partial.replace(arguments.out)


def _configurations(arguments: argparse.Namespace) -> list[TrainConfig]:
    """The shapes that are measured, all but the smoke one in the report's world."""
    if arguments.smoke:
        return [SMOKE]
    chosen = [LARGE] if arguments.large else [BASE_CONFIG, TrainConfig()]
    return [replace(config, world=REPORT_WORLD) for config in chosen]


def _sentence(found: dict) -> str:
    ours, plain, ratio = found[OURS], found[PLAIN], found["ratio"]
    return (
        f"{found['name']}: {ours['slatesPerSecond']:,.0f} slates/s ours, {plain['slatesPerSecond']:,.0f} plain "
        f"({ratio['slatesPerSecond']:.1f} times, {ratio['slatesPerCpuSecond']:.1f} by CPU time); "
        f"{ours['tokensPerSecond']:,.0f} and {plain['tokensPerSecond']:,.0f} tokens/s; "
        f"peak {ours['peakMib']:,} and {plain['peakMib']:,} MiB"
    )
