"""The grid's order, its runner, and the page made of what it found."""

import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from onepass_training.report import page as report_page
from onepass_training.report.book import Book
from onepass_training.report.grid import BASE, OTHERS, QUESTIONS, SMOKE_CONFIG, VARIANTS, Run, base_config, runs
from onepass_training.report.metrics import CROSSED, METRICS, crossed
from onepass_training.report.results import append, key_of, read, succeeded
from onepass_training.report.runner import Runner, compare_files, run_command
from onepass_training.report.variant import Claim
from onepass_training.report.verdict import (
    AGAINST,
    AHEAD_ONCE,
    BEHIND_ONCE,
    MISSING,
    NOISE,
    REPRODUCED,
    UNSURE,
    One,
    Several,
    together,
    verdict,
)

PROCESS = Path(__file__).with_name("report_process.py")
SOURCE = Path(__file__).parents[1] / "src"


def command(behaviour="good"):
    def of(run, directory):
        key = key_of(run, SMOKE_CONFIG)
        return [sys.executable, str(PROCESS), run.variant.name, str(run.seed), str(directory), key, behaviour]

    return of


def runner(tmp_path, behaviour="good"):
    return Runner(SMOKE_CONFIG, tmp_path / "grid.jsonl", tmp_path / "work", command(behaviour), compare_files, 2)


def started(tmp_path):
    return sorted((tmp_path / "work" / "started").read_text().split("\n")[:-1])


def test_the_grid_changes_one_thing_and_begins_with_what_matters():
    order = list(runs())
    assert len(order) == 3 * len(VARIANTS) == len({run.name for run in order})
    for seed in (1, 2, 3):
        assert next(run for run in order if run.seed == seed).variant.name == BASE
    first_rest = next(at for at, run in enumerate(order) if run.seed == 1 and run.variant.stage == 2)
    assert all(run.variant.stage == 0 for run in order[:first_rest] if run.seed > 1)
    configs = [run.variant.config(base_config(False), 1) for run in runs((1,))]
    assert len(
        {(repr(replace(config, name="")), run.variant.kind) for config, run in zip(configs, runs((1,)), strict=True)}
    ) == len(configs)
    with pytest.raises(ValueError, match="no variant 'mask-9'"):
        list(runs(only=["mask-9"]))


def test_claims_name_what_there_is():
    for question in QUESTIONS:
        names = {BASE, *(variant.name for variant in question.variants), *question.others}
        assert set(question.metrics) <= set(METRICS)
        for claim in question.claims:
            assert {claim.better, claim.worse} <= names
            assert {claim.metric, claim.against or claim.metric} <= set(METRICS)


def test_a_run_is_not_run_again_and_a_line_is_written_once(tmp_path):
    wanted = list(runs((1, 2), ["base", "mask-0"]))
    assert runner(tmp_path).run(wanted[:1]) == 0
    assert runner(tmp_path).run(wanted) == 0
    assert runner(tmp_path).run(wanted) == 0
    lines = read(tmp_path / "grid.jsonl")
    assert sorted((line["variant"], line["seed"]) for line in lines) == [("base", 1), ("base", 2), ("mask-0", 1), ("mask-0", 2)]
    assert started(tmp_path) == ["base 1", "base 2", "mask-0 1", "mask-0 2"]
    difference = succeeded(lines)[key_of(wanted[1], SMOKE_CONFIG)]["differences"]["recall10"]
    assert difference[1] < difference[0] < difference[2]


def test_other_settings_are_another_run():
    run = Run(VARIANTS["mask-0"], 1)
    assert key_of(run, SMOKE_CONFIG) == key_of(run, replace(SMOKE_CONFIG, name="other"))
    assert key_of(run, SMOKE_CONFIG) != key_of(run, replace(SMOKE_CONFIG, steps=31))


def test_a_kill_leaves_no_child_and_no_doubled_line(tmp_path):
    """Killed hard while the second run is under way: its child dies too, and the next report runs that one alone."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from test_report import runner, runs\n"
        "runner(Path(sys.argv[2]), 'hang').run(list(runs((1,), ['base', 'mask-0'])))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    (tmp_path / "work").mkdir()
    os.mkfifo(tmp_path / "work" / "reached")
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(PROCESS.parent), str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
    )
    said = []
    while not any("base-seed1: done" in line for line in said):  # ends with the line, or with the process
        said.append(parent.stdout.readline())
        assert said[-1]
    (tmp_path / "work" / "reached").open().close()  # the other one has begun
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert [line["variant"] for line in read(tmp_path / "grid.jsonl")] == ["base"]
    assert runner(tmp_path).run(list(runs((1,), ["base", "mask-0"]))) == 0
    assert [line["variant"] for line in read(tmp_path / "grid.jsonl")] == ["base", "mask-0"]
    assert started(tmp_path) == ["base 1", "mask-0 1", "mask-0 1"]


def test_a_failed_run_is_written_down_and_stops_no_other(tmp_path):
    assert runner(tmp_path, "fail").run(list(runs((1,), ["base", "mask-0", "sasrec"]))) == 2
    lines = read(tmp_path / "grid.jsonl")
    assert [line["variant"] for line in lines if line["status"] == "ok"] == ["base"]
    assert {line["error"] for line in lines if line["status"] == "failed"} == {"exit code 3: no such luck"}
    assert runner(tmp_path).run(list(runs((1,), ["base", "mask-0", "sasrec"]))) == 0
    assert not Book(read(tmp_path / "grid.jsonl")).failed


def test_two_reports_at_once_and_a_broken_file_are_refused(tmp_path):
    from onepass_training.report.results import alone

    with alone(tmp_path / "work"), pytest.raises(ValueError, match="another report"):
        runner(tmp_path).run([])
    (tmp_path / "grid.jsonl").write_text('{"key": "k", "variant": "base", "seed": 1}\n{"key"\n')
    with pytest.raises(ValueError, match="line 2"):
        read(tmp_path / "grid.jsonl")


def test_a_verdict_needs_an_interval_on_one_side_of_zero():
    assert verdict(together([One(0.02, 0.01, 0.03), One(0.021, 0.011, 0.031), One(0.019, 0.009, 0.029)])) == REPRODUCED
    assert verdict(together([One(-0.02, -0.03, -0.01), One(-0.021, -0.031, -0.011), One(-0.02, -0.03, -0.01)])) == AGAINST
    assert verdict(together([One(-0.02, -0.03, -0.01)])) == BEHIND_ONCE, "another run might say otherwise"
    assert verdict(together([One(0.02, 0.01, 0.03)])) == AHEAD_ONCE
    assert verdict(together([One(0.02, 0.01, 0.03), One(-0.02, -0.03, -0.01), One(0.03, 0.02, 0.04)])) == NOISE
    assert verdict(together([One(0.02)])) == UNSURE
    assert verdict(together([])) == MISSING
    joined = together([One(0.02, 0.01, 0.03), One(0.02, 0.01, 0.03)])
    assert joined == Several(0.02, pytest.approx(0.02 - 0.01 / 2**0.5), pytest.approx(0.02 + 0.01 / 2**0.5), (0.02, 0.02))


def made_up(variants, seeds, drift=0.01):
    """Lines as runs write them: every variant worse than the base by `drift`."""
    for seed in seeds:
        for at, variant in enumerate(variants):
            random = np.random.default_rng([seed, at])
            worse = 0 if variant == BASE else drift
            metrics = {name: round(0.5 - worse + 0.001 * float(random.random()), 6) for name in METRICS}
            apart = {name: [-worse, -worse - 0.004, -worse + 0.004] for name in METRICS}
            apart |= {crossed("unordered10_offsets", "unordered10"): [0.0, -0.01, 0.01]} if variant == BASE else {}
            line = {
                "key": f"{variant}-{seed}", "variant": variant, "seed": seed, "status": "ok", "commit": "abc1234+", "jobs": 2,
                "machine": {"cpu": "A CPU", "cores": 2, "python": "3.11", "torch": "2.15"}, "date": "2026-11-21T15:00:00+00:00",
                "metrics": metrics, "intervals": {name: [m, m - 0.01, m + 0.01] for name, m in metrics.items()},
                "summary": {f"ece.{action}": 0.01 for action in ("click", "save")} | {"slates.recallAt10.home": 100},
                "differences": apart, "reliability": {"click": [[0.01, 0.012, 40], [0.1, 0.09, 40]], "save": [[0.02, 0.01, 8]]},
            }  # fmt: skip
            if variant not in OTHERS:
                line |= {"steps": 10, "tokens": 100, "tokensPerSecond": 9, "parameters": 1000, "peakMemoryMib": 300,
                         "seconds": {"world": 1.0, "train": 2.0, "evaluate": 3.0, "total": 6.0, "cpu": 5.0}}  # fmt: skip
            yield line


def throughput():
    loop = {"slatesPerSecond": 600.0, "tokensPerSecond": 12000.0, "peakMib": 900}
    shape = {"width": 64, "layers": 2, "window": 128, "slates": 16}
    told = {"name": "report", "shape": shape, "threads": 1, "ours": loop, "plain": loop, "ratio": {"slatesPerSecond": 9.5}}
    return {"date": "2026-11-21T15:00:00+00:00", "commit": "abc", "machine": {"cpu": "A CPU", "cores": 2}, "shapes": [told]}


def write(tmp_path, lines, name="model-report.md"):
    (tmp_path / "notes.toml").write_text(
        '[findings]\nmam = "Masking helps here."\n[why]\noffsets = "The world is too small."\n'
    )
    path = tmp_path / name
    report_page.write_page(path, lines, tmp_path / "notes.toml", tmp_path / "throughput.json", base_config(False).as_json())
    return path.read_text()


def test_the_page_of_a_whole_grid(tmp_path):
    lines = list(made_up([*VARIANTS, *OTHERS], (1, 2, 3)))
    (tmp_path / "throughput.json").write_text(json.dumps(throughput()))
    text = write(tmp_path, lines)
    assert "A CPU (2 cores)" in text
    assert "Masking helps here." in text
    assert "The world is too small." in text
    assert "reproduced (3 seeds)" in text
    assert "Not run yet" not in text
    assert "| width 64, 2 layers, window 128, 16 slates | 1 | 600 | 600 | 12,000 | 12,000 | 9.5 | 900 | 900 |" in text
    shown = re.findall(r"\(model-report/(.+\.svg)\)", text)
    assert sorted(shown) == sorted(path.name for path in (tmp_path / "model-report").iterdir())
    for name in shown:
        assert ElementTree.parse(tmp_path / "model-report" / name).getroot().tag.endswith("svg")
    anchors = {report_page._anchor(question) for question in QUESTIONS}
    assert set(re.findall(r"\(#(.+?)\)", text)) <= anchors


def test_the_same_results_give_the_same_page(tmp_path):
    lines = list(made_up([BASE], (1, 2)))
    text = write(tmp_path, lines)
    plots = {path.name: path.read_bytes() for path in (tmp_path / "model-report").iterdir()}
    assert write(tmp_path, lines) == text
    assert plots == {path.name: path.read_bytes() for path in (tmp_path / "model-report").iterdir()}


@pytest.mark.parametrize("variants", [[], ["mask-0"], [BASE, "mask-0", "oracle"]])
def test_the_page_of_some_runs_says_what_is_missing(tmp_path, variants):
    text = write(tmp_path, made_up(variants, (1,)))
    assert "no ranking without it" not in text
    assert "not run" in text
    assert ("No run has been made yet" in text) == (not variants)
    assert "nan" not in text.lower().split()


def test_a_claim_turns_the_sign_where_less_is_better():
    book = Book(made_up([BASE, *OTHERS], (1, 2)))
    assert book.ahead(Claim(BASE, "popularity", "recall10")).mean == pytest.approx(0.01)
    assert book.ahead(Claim(BASE, "no-calibration", "ece_worst")).mean == pytest.approx(-0.01)
    assert book.ahead(Claim(BASE, BASE, "unordered10_offsets", against="unordered10")).mean == 0
    assert book.ahead(Claim(BASE, "sasrec", "recall10")) is None


def test_a_tiny_grid_from_nothing_to_its_page(tmp_path):
    tiny = Runner(SMOKE_CONFIG, tmp_path / "grid.jsonl", tmp_path / "work", run_command(True), compare_files, 2)
    assert tiny.run(list(runs((1,), ["base", "mask-0"]))) == 0
    lines = read(tmp_path / "grid.jsonl")
    assert [line["variant"] for line in lines] == [BASE, *OTHERS, "mask-0"]
    assert {"recall10", "hit3_save", "ece_worst", "unordered10"} <= set(lines[0]["metrics"])
    assert set(lines[0]["differences"]) <= {crossed(*pair) for pair in CROSSED} | {crossed(*pair[::-1]) for pair in CROSSED}
    assert lines[-1]["differences"]["recall10"][0] == pytest.approx(
        lines[-1]["metrics"]["recall10"] - lines[0]["metrics"]["recall10"], abs=2e-5
    )
    text = write(tmp_path, lines)
    assert "base ahead of p_mask 0: Hit@3 save" in text


def test_lines_are_appended_whole(tmp_path):
    append(tmp_path / "results" / "grid.jsonl", {"key": "a", "variant": "base", "seed": 1, "status": "ok"})
    append(tmp_path / "results" / "grid.jsonl", {"key": "b", "variant": "base", "seed": 2, "status": "failed"})
    assert list(succeeded(read(tmp_path / "results" / "grid.jsonl"))) == ["a"]
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["grid.jsonl"]
    assert json.loads((tmp_path / "results" / "grid.jsonl").read_text().splitlines()[1])["seed"] == 2
