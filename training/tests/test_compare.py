"""Two releases on the same logs: what is told, that each is judged by the graphs that serve, and what cannot be compared."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from logs import DAY, event, slate, write_logs

from onepass_training.__main__ import main
from onepass_training.commands.compare import compare
from onepass_training.data.open import open_dataset
from onepass_training.evaluation.evaluate import Evaluation
from onepass_training.evaluation.predict import predict
from onepass_training.learn.train import new_model
from onepass_training.release.draft import write_draft
from onepass_training.release.opened import OpenedRelease, SeenBy

PEOPLE = 30


@pytest.fixture(scope="module")
def trained(model, dataset, config, tmp_path_factory):
    directory = tmp_path_factory.mktemp("compare") / "trained"
    write_draft(model, dataset, config, {}, directory)
    return directory


@pytest.fixture(scope="module")
def untrained(dataset, config, tmp_path_factory):
    """Another shape: narrower, a shorter window."""
    other = replace(config, model=replace(config.model, width=16, window=20, item_dimension=8, hidden=24))
    directory = tmp_path_factory.mktemp("compare") / "untrained"
    write_draft(new_model(other, dataset), dataset, other, {}, directory)
    return directory


def altered(directory, to, change):
    """A copy of a release whose manifest went through `change`."""
    shutil.copytree(directory, to)
    manifest = json.loads((to / "manifest.draft.json").read_text())
    change(manifest)
    (to / "manifest.draft.json").write_text(json.dumps(manifest))
    return to


def test_the_command_tells_two_releases_apart(trained, untrained, tmp_path, capsys):
    report = tmp_path / "report.json"
    arguments = ["compare", str(trained), str(untrained), "--people", str(PEOPLE), "--json", str(report)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    for word in ("recallAt10", "hitAt3/save", "ndcgAt10", "95% interval", "ece/click", "graphs, MB", "rankMs", "Verdict: B is"):
        assert word in said, word
    found = json.loads(report.read_text())
    assert found["differences"]["slateLogLoss"]["mean"] > 0, "who learnt nothing predicts worse"
    assert found["differences"]["slateLogLoss"]["low"] > 0
    assert "worse in" in found["verdict"]
    assert "slateLogLoss" in found["verdict"].split("worse in")[1]
    sizes = [release["megabytes"] for release in found["releases"]]
    assert sizes[0] > sizes[1] > 0
    assert not list(tmp_path.glob("*.partial"))


def test_a_release_is_not_different_from_itself(trained, dataset):
    found = compare(OpenedRelease.open(trained), OpenedRelease.open(trained), dataset, PEOPLE)
    assert all(difference.mean == 0 for difference in found.differences.values())
    assert "B is not to be told from A in any of" in found.verdict()


def test_graphs_are_judged_as_the_model_is(trained, model, dataset, config):
    """The graphs' answers, given as serving gives them, are those of the training pass."""
    evaluation = Evaluation(dataset, replace(config, evaluation_people=PEOPLE))
    contender, _ = OpenedRelease.open(trained).contender(dataset, evaluation.slates)
    expected = predict(model, dataset, config, evaluation.slates)
    held = evaluation.slates.shown >= 0
    rows = np.arange(len(evaluation.slates))
    ours, theirs = (one.probabilities(evaluation.slates, rows)[held] for one in (contender.ranker, expected))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    np.testing.assert_allclose(contender.retriever.hidden, expected.hidden, rtol=0, atol=1e-3)


def test_the_graphs_that_serve_are_the_ones_that_are_compared(trained, dataset, tmp_path):
    def serve_int8(manifest):
        manifest["graphs"] = manifest["precisions"]["int8"]["graphs"]
        manifest["model"]["precision"] = "int8"

    int8 = OpenedRelease.open(altered(trained, tmp_path / "int8", serve_int8))
    fp32 = OpenedRelease.open(trained)
    evaluation = Evaluation(dataset, replace(fp32.config, evaluation_people=PEOPLE))
    answers = [one.contender(dataset, evaluation.slates)[0].ranker.predicted for one in (fp32, int8)]
    assert 0 < np.abs(answers[0] - answers[1]).max() < 0.05
    assert (fp32.precision, int8.precision) == ("fp32", "int8")


def test_another_order_of_items_is_the_same_items(trained, dataset):
    opened = OpenedRelease.open(trained)
    order = np.random.default_rng(1).permutation(len(dataset.items))
    items = replace(dataset.items, ids=[dataset.items.ids[row] for row in order], upstream=dataset.items.upstream[order])
    np.testing.assert_array_equal(opened.table_for(replace(dataset, items=items)), opened.table[order])


def test_features_that_a_release_does_not_know_are_left_out(dataset):
    seen = SeenBy(dataset, ("altitude", dataset.vocabulary.features[1]))
    columns, before = seen.bucket(0).slate_features, dataset.bucket(0).slate_features
    assert np.isnan(columns[:, 0]).all()
    np.testing.assert_array_equal(columns[:, 1], before[:, 1])
    assert SeenBy(dataset, ()).bucket(0).slate_features.shape == (len(before), 0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m["training"]["config"]["world"].update(days=41), "learnt from different worlds: name logs with --data"),
        (lambda m: m["training"]["config"].update(world=None), "names no synthetic world that it learnt from"),
        (lambda m: m.pop("training"), "names no synthetic world that it learnt from"),
        (lambda m: m["vocabulary"]["actions"].reverse(), "knows the actions hide, share"),
        (lambda m: m["vocabulary"].update(surfaces=["a", "b", "c"]), "knows the surfaces a, b, c, the data home"),
        (lambda m: m["graphs"].update(rank="graphs/none.onnx"), "there is no graph"),
        (lambda m: m["graphs"].update(rank="items/table.f16"), "cannot be run"),
        (lambda m: m["model"].pop("width"), "is incomplete: 'width'"),
        (lambda m: m.update(format=2), "format must be 1"),
        (lambda m: m["queryTokenizer"].update(seed=7), "cuts texts by another tokenizer"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(trained, tmp_path, capsys, change, sentence):
    other = altered(trained, tmp_path / "other", change)
    assert main(["compare", str(trained), str(other), "--people", str(PEOPLE)]) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_other_items_and_directories_are_refused(trained, dataset, tmp_path, capsys):
    opened = OpenedRelease.open(trained)
    ids = ["new-1", *dataset.items.ids[1:]]
    with pytest.raises(ValueError, match=r"1 of which it does not know \(such as 'new-1'\)"):
        opened.table_for(replace(dataset, items=replace(dataset.items, ids=ids)))
    wide = replace(dataset.items, upstream=np.zeros((len(dataset.items), 7), np.float32))
    with pytest.raises(ValueError, match="reads item embeddings of 64 numbers, the data has 7"):
        opened.check_fits(replace(dataset, items=wide))
    assert main(["compare", str(trained), str(tmp_path)]) == 1
    assert "is no release: it has neither manifest.json nor manifest.draft.json" in capsys.readouterr().err
    assert main(["compare", str(trained), str(trained), "--data", str(tmp_path / "none")]) == 1
    assert "is no folder" in capsys.readouterr().err
    (tmp_path / "manifest.json").write_text("{")
    assert main(["compare", str(trained), str(tmp_path)]) == 1
    assert "is no JSON" in capsys.readouterr().err


def test_somebodys_logs(config, tmp_path, capsys):
    """Releases of logs name no world; --data gives them the logs again, or others."""
    folder, hour = tmp_path / "logs", DAY // 24
    people = [f"p{at}" for at in range(40)]
    slates = [
        slate(f"{person}-{day}", person, day * DAY, [
            {"item_id": f"i{(at + day + place) % 6}", "actions": ["click"] if place == day % 3 else []} for place in range(4)
        ], features={"age": 20.0 + at})
        for at, person in enumerate(people) for day in range(10)
    ]  # fmt: skip
    events = [
        event(one["person"], shown["item_id"], one["time_ms"] + hour, slate_id=one["slate_id"])
        for one in slates for shown in one["items"] if shown["actions"]
    ]  # fmt: skip
    write_logs(folder, events, slates)
    dataset = open_dataset(folder, tmp_path / "work", say=lambda _: None)
    for name, width in (("a", 16), ("b", 24)):
        own = replace(config, world=None, model=replace(config.model, width=width, upstream=3))
        write_draft(new_model(own, dataset), dataset, own, {}, tmp_path / name)
    arguments = ["compare", str(tmp_path / "a"), str(tmp_path / "b")]
    assert main([*arguments, "--data", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "on shop: 80 slates of 40 people" in said
    assert "hitAt3/click" in said
    assert main(arguments) == 1
    assert "name logs with --data DIR" in capsys.readouterr().err
