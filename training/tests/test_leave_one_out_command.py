"""`leave-one-out` from the command line."""

import json
from pathlib import Path

from onepass_training.__main__ import main

MOVIES = Path(__file__).parent / "fixtures" / "ml-1m"


def test_every_contender_is_asked_the_same(tmp_path, capsys):
    assert main(["leave-one-out", "--smoke", "--steps", "4", "--data", str(MOVIES), "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "results.json").read_text())
    contenders = ("popularity", "co-occurrence", "SASRec-style", "onepass")
    printed = capsys.readouterr().out
    assert len({found[name]["people"] for name in contenders}) == 1
    for name in contenders:
        assert 0 <= found[name]["full"]["hrAt10"] <= 1
        assert name in printed


def test_a_folder_that_is_not_there(tmp_path, capsys):
    assert main(["leave-one-out", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 1
    assert "does not exist" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
