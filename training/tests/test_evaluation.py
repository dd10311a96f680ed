"""Evaluating models: the whole of it on a tiny world, and the protocol for outside data."""

import json
from dataclasses import replace

import hand_made
import numpy as np
import pytest
import torch

from onepass_training.evaluation.baselines.popularity import popularity
from onepass_training.evaluation.evaluate import Evaluation
from onepass_training.evaluation.held_out import LeaveOneOut
from onepass_training.evaluation.leave_one_out import LeaveOneOutEvaluation, places_among
from onepass_training.evaluation.predict import calibration_set, item_table, predict
from onepass_training.evaluation.probe import Probe
from onepass_training.evaluation.result import Result, compare
from onepass_training.evaluation.scorers import ANY, Ask, Contender
from onepass_training.evaluation.search import search_by_text
from onepass_training.evaluation.table import format_leave_one_out, format_table
from onepass_training.learn.train import new_model
from onepass_training.world.oracle import Oracle


@pytest.fixture(scope="module")
def evaluation(dataset, config, world):
    return Evaluation(dataset, replace(config, evaluation_slates=150), Oracle(world))


@pytest.fixture(scope="module")
def result(evaluation, model):
    return evaluation.run(model)


@pytest.fixture(scope="module")
def untrained(evaluation, config, dataset):
    return evaluation.run(new_model(config, dataset), "untrained")


def test_what_is_learnt_shows_and_the_truth_is_best(evaluation, result, untrained):
    recall = [found.summary["recallAt100"]["all"] for found in (untrained, result, evaluation.oracle)]
    assert recall[0] < recall[1] < recall[2]
    auc = [found.summary["auc"]["click"] for found in (untrained, result, evaluation.oracle)]
    assert auc[0] < auc[1] < auc[2]
    share = result.summary["shareOfOracle"]["recallAt10"]["all"]
    assert share == pytest.approx(
        result.summary["recallAt10"]["all"] / evaluation.oracle.summary["recallAt10"]["all"], abs=1e-3
    )


def test_numbers_are_means_of_what_is_kept_by_slate(evaluation, result, dataset):
    summary = result.summary
    assert summary["recallAt10"]["home"] == pytest.approx(np.nanmean(result.of("recallAt10", "home")), abs=1e-6)
    assert summary["hitAt3"]["click"]["all"] == pytest.approx(np.nanmean(result.of("hitAt3/click")), abs=1e-6)
    assert summary["slates"]["recallAt10"]["all"] == len(evaluation.recall_rows) == 150
    assert sum(summary["slates"]["recallAt10"][name] for name in dataset.vocabulary.surfaces) == 150
    assert set(summary["unorderedRecallAt100"]) == {"one", "offsets", "outcomes"}
    json.dumps(summary, allow_nan=False)
    with pytest.raises(KeyError, match="recallAt10"):
        result.of("recallAt11")


def test_small_slices_are_not_quoted(result):
    sizes, values = result.summary["slates"]["recallAt10"], result.summary["recallAt10"]
    assert min(sizes.values()) < 30
    assert all((values[name] is None) == (size < 30) for name, size in sizes.items())


def test_evaluating_twice_gives_the_same_and_a_model_is_left_as_it_was(evaluation, model, result):
    model.train()
    again = evaluation.run(model)
    assert model.training
    model.eval()
    assert again.summary == result.summary


def test_predictions_ask_as_they_are_asked(evaluation, model, config, dataset):
    found = predict(model, dataset, config, evaluation.slates)
    rows = evaluation.recall_rows[:5]
    asked = [found.queries(evaluation.slates, rows, ask) for ask in (ANY, Ask(2), Ask(offset_ms=3_600_000))]
    assert np.abs(asked[0] - asked[1]).max() > 1e-4
    assert np.abs(asked[0] - asked[2]).max() > 1e-4
    np.testing.assert_allclose(np.linalg.norm(asked[0], axis=1), 1, atol=1e-5)


def test_calibration_has_the_validation_days_alone(model, dataset, config):
    logits, labels = calibration_set(model, dataset, config)
    assert logits.shape == labels.shape
    assert logits.shape[1] == len(dataset.vocabulary.actions)
    assert len(logits) > 100
    rate = torch.from_numpy(logits).sigmoid().numpy().mean(axis=0)
    assert np.abs(rate - labels.mean(axis=0)).max() < 0.1


def test_results_are_kept_and_compared(result, untrained, tmp_path):
    result.save(tmp_path / "a.npz")
    kept = Result.load(tmp_path / "a.npz")
    assert kept.summary == result.summary
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    found = compare(kept, untrained, "recallAt100")
    assert found.slates == 150
    expected = result.summary["recallAt100"]["all"] - untrained.summary["recallAt100"]["all"]
    assert found.mean == pytest.approx(expected, abs=1e-5)
    half = replace(untrained, key=untrained.key[::2], person=untrained.person[::2],
                   values={name: values[::2] for name, values in untrained.values.items()},
                   slices={name: rows[::2] for name, rows in untrained.slices.items()})  # fmt: skip
    assert compare(result, half, "slateLogLoss").slates == len(half.key)
    with pytest.raises(ValueError, match="share no slate"):
        compare(result, replace(half, key=half.key + np.uint64(1)), "recallAt10")
    (tmp_path / "b.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"b\.npz holds no evaluation result"):
        Result.load(tmp_path / "b.npz")


def test_a_table_for_people(result, evaluation, dataset):
    some = {"model": result, "popularity": evaluation.of("popularity", popularity(dataset).contender())}
    text = format_table(some | {"oracle": evaluation.oracle})
    assert "Recall@10" in text
    assert "Hit@3(save)" in text
    assert max(map(len, text.splitlines())) < 128


class Perfect:
    """Knows the answer."""

    def scores(self, slates, rows, ask):
        scores = np.zeros((len(rows), 30))
        scores[np.arange(len(rows)), slates.target[rows]] = 1
        return scores


class Constant(Perfect):
    """Knows nothing."""

    def scores(self, slates, rows, ask):
        return np.random.default_rng(0).random((len(rows), 30))


def test_leave_one_out_measures_what_it_says(config, monkeypatch):
    monkeypatch.setattr("onepass_training.evaluation.leave_one_out.NEGATIVES", 14)
    view = LeaveOneOut(hand_made.dataset(buckets=8, histories=40))
    evaluation = LeaveOneOutEvaluation(view, replace(config, evaluation_people=1_000))
    perfect, blind = (evaluation.of("it", Contender(retriever)) for retriever in (Perfect(), Constant()))
    assert perfect.summary["full"] == {"hrAt10": 1, "ndcgAt10": 1}
    left = 30 - np.array([len(set(evaluation.slates.seen(np.array([row]))[1])) for row in range(len(evaluation.slates))])
    assert blind.summary["full"]["hrAt10"] == pytest.approx(np.minimum(1, 10 / left).mean(), abs=0.1)
    assert blind.summary["uniform"]["hrAt10"] == pytest.approx(np.minimum(1, 10 / np.minimum(left, 15)).mean(), abs=0.1)
    assert "leave one out" in format_leave_one_out({"perfect": perfect, "blind": blind})
    with pytest.raises(ValueError, match="does not retrieve"):
        evaluation.of("it", Contender())


def test_rivals_are_new_to_the_person_and_drawn_as_named(config):
    view = LeaveOneOut(hand_made.dataset(buckets=4, histories=20))
    evaluation = LeaveOneOutEvaluation(view, replace(config, evaluation_people=1_000))
    rows = np.arange(len(evaluation.slates))
    at, items = evaluation.slates.seen(rows)
    heavy = np.where(np.arange(30) == 7, 50.0, 0.0)
    for weights in (np.zeros(30), heavy):
        rivals = evaluation._rivals(rows, weights, np.random.default_rng(1))
        for row in rows:
            mine = rivals[row][rivals[row] >= 0]
            free = set(range(30)) - set(items[at == row]) - {int(evaluation.slates.target[row])}
            assert sorted(mine.tolist()) == sorted(free)
    assert places_among(np.array([[0.5, 0.5, 0.5]]), np.array([1]), np.array([[0, 2]])).tolist() == [1]
    assert places_among(np.array([[0.5, 0.5, 0.5]]), np.array([1]), np.array([[-1, 2]])).tolist() == [0]


def test_a_model_is_asked_for_what_was_held_out(model, dataset, config):
    evaluation = LeaveOneOutEvaluation(LeaveOneOut(dataset), config)
    found = evaluation.run(model)
    assert found.summary["people"] == config.evaluation_people
    assert found.summary["uniform"]["hrAt10"] > found.summary["full"]["hrAt10"]


def test_data_without_slates_has_no_slate_metrics(config, model, dataset):
    empty = replace(dataset, splits=replace(dataset.splits, test_ms=dataset.splits.end_ms))
    found = Evaluation(empty, config).run(model)
    assert found.summary["recallAt10"]["all"] is None
    assert found.summary["auc"]["click"] is None
    assert found.summary["slates"]["all"] == 0


def test_searches_by_text(evaluation, model, config, dataset, result):
    found = search_by_text(evaluation, model, predict(model, dataset, config, evaluation.slates))
    assert found["slates"] == result.summary["slates"]["recallAt10"]["search"] > 0
    in_search = result.of("recallAt10", "search")
    assert found["model"] == pytest.approx(np.nanmean(in_search), abs=1e-6)
    assert 0 <= found["withoutQuery"] <= 1
    assert 0 <= found["queryTowerAlone"] <= 1


def test_the_probe_follows_what_was_just_done(model, dataset):
    found = Probe(model, dataset, item_table(model, dataset.items.upstream).astype(np.float32), 1).run()
    assert list(found) == ["0", "1", "3"]
    assert all(0 <= share <= 1 for share in found.values())
    with pytest.raises(ValueError, match="nothing"):
        Probe(model, dataset, np.zeros((1, 1), np.float32), 1, "nothing")
