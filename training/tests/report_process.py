"""Stands in for a run of the grid: waits for a file `go` beside the runs if told to, then leaves a result."""

import json
import sys
import time
from pathlib import Path

import numpy as np

from onepass_training.evaluation.result import Result

name, seed, directory, key, behaviour = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], sys.argv[5]
with (directory.parents[1] / "started").open("a") as started:
    started.write(f"{name} {seed}\n")
if behaviour == "fail" and name != "base":
    print("first line\nno such luck")
    raise SystemExit(3)
if behaviour == "hang" and name != "base":
    (directory.parents[1] / "reached").open("w").close()  # a named pipe: waits until the test reads it
    time.sleep(60)
random = np.random.default_rng([seed, len(name)])
everyone = {"all": np.ones(200, bool), "freshItems": random.random(200) < 0.5}
values = {"recallAt10": (random.random(200) < 0.4).astype(float), "hitAt3/save": (random.random(200) < 0.6).astype(float)}
Result(name, {}, np.arange(200, dtype=np.uint64), np.arange(200, dtype=np.uint64) // 4, values, everyone).save(
    directory / "result.npz"
)
told = {"metrics": {"recall10": float(values["recallAt10"].mean())}, "intervals": {}, "summary": {}}
(directory / "result.json").write_text(json.dumps({"key": key, "variant": name, "seed": seed, **told}))
