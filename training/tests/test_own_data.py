from pathlib import Path

import pytest

from onepass_training.__main__ import main

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--items", "items.csv"], "--items says something about --data, which is not there"),
        (["--vocabulary", "release"], "--vocabulary says something about --data, which is not there"),
        (["--data", "nowhere"], "--data: nowhere does not exist"),
        (["--data", str(FIXTURES / "ml-1m" / "ratings.dat")], "ratings.dat is no folder; unpack it first"),
        (["--data", str(FIXTURES / "ml-1m"), "--items", "nowhere.csv"], "--items: nowhere.csv does not exist"),
    ],
)
def test_options_that_do_not_fit_are_told_before_anything_is_done(options, problem, tmp_path, capsys):
    assert main(["train", "--out", str(tmp_path / "run"), *options]) == 1
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_convert_writes_logs_or_says_why_not(tmp_path, capsys):
    assert main(["convert", str(FIXTURES / "ml-1m"), "--out", str(tmp_path / "logs")]) == 0
    assert capsys.readouterr().out == f"logs: {tmp_path / 'logs'}\n"
    assert main(["convert", str(tmp_path), "--out", str(tmp_path / "other")]) == 1
    assert "is no MovieLens data set" in capsys.readouterr().err


def test_own_logs_train_to_a_draft_and_go_on(tmp_path, capsys):
    run = ["train", "--smoke", "--threads", "1", "--steps", "8", "--data", str(FIXTURES / "ml-100k"), "--out", str(tmp_path)]
    assert main(run) == 0
    assert "40 people, 41 items" in capsys.readouterr().out
    assert (tmp_path / "draft" / "manifest.draft.json").is_file()
    assert main([*run, "--resume"]) == 0
    assert "prepared from these logs already" in capsys.readouterr().out
