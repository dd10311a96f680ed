"""int8 graphs: how weights are quantised, what the graphs are made of, and the rule that says which precision serves."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onepass_training.evaluation.predict import item_table
from onepass_training.evaluation.slates import slate_set
from onepass_training.release import trial as trial_module
from onepass_training.release.export import GRAPHS, WEIGHTS
from onepass_training.release.laws import LawBroken
from onepass_training.release.precision import Bounds, Cost, Speed, cost_of, is_faster, reasons_against, spearman
from onepass_training.release.quantise import QUANTISED, WEIGHT_LIMIT, quantise_columns, quantise_graphs
from onepass_training.release.replay import Served
from onepass_training.release.trial import AUTO, FP32, INT8, Trial, choose

CHEAP = Cost(0.004, 0.0003, 0.999, 0.0, 0.0, 300)
FAST, SLOW = Speed(4.0, 5.0, 0.4), Speed(6.0, 7.0, 0.5)


def test_columns_are_quantised_by_their_own_scale():
    random = np.random.default_rng(1)
    matrix = (random.standard_normal((40, 6)) * 10.0 ** np.arange(-3, 3)).astype(np.float32)
    matrix[:, 2] = 0
    quantised, scales = quantise_columns(matrix)
    assert quantised.dtype == np.int8
    assert np.abs(quantised).max() == WEIGHT_LIMIT
    assert (np.abs(quantised * scales - matrix) <= scales / 2 * (1 + 1e-5)).all()
    assert not quantised[:, 2].any()


def test_eight_by_seven_bits_fit_a_16_bit_sum():
    """Pairs of products are summed in 16 bits on processors without VNNI."""
    assert np.iinfo(np.int16).max >= 2 * 255 * WEIGHT_LIMIT


def test_graphs_hold_their_weights_in_int8_and_once(graphs, tmp_path):
    quantise_graphs({name: graphs / GRAPHS[name] for name in QUANTISED}, tmp_path / "int8", WEIGHTS)
    assert (tmp_path / "int8" / WEIGHTS).stat().st_size < 0.6 * (graphs / WEIGHTS).stat().st_size
    for name in QUANTISED:
        path = tmp_path / "int8" / GRAPHS[name]
        loaded = onnx.load(path)
        assert {domain.domain for domain in loaded.opset_import} == {"", "com.microsoft"}
        kinds = [node.op_type for node in loaded.graph.node]
        held = {tensor.name: numpy_helper.to_array(tensor) for tensor in loaded.graph.initializer}
        left = [node for node in loaded.graph.node if node.op_type in ("MatMul", "Gemm") and node.input[1] in held]
        raw = {value.name for value in loaded.graph.input}
        assert all(node.input[0] in raw for node in left), "only products of the raw rows stay in fp32"
        assert kinds.count("MatMulIntegerToFloat") >= 9
        before = onnx.load(graphs / GRAPHS[name]).graph
        assert [value.name for value in loaded.graph.input] == [value.name for value in before.input]
        assert [value.name for value in loaded.graph.output] == [value.name for value in before.output]


def test_rank_correlation():
    values = np.array([3.0, 1.0, 2.0, 5.0])
    assert spearman(values, values * 2 + 1) == pytest.approx(1)
    assert spearman(values, -values) == pytest.approx(-1)
    assert spearman(values[:1], values[:1]) == 1


def served(slates, predicted, layout):
    """Only ranking: recall is taken of no slate below."""
    return Served(None, layout, np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32), predicted)


def test_cost_is_what_changed_on_the_slates(dataset, config, layout):
    slates = slate_set(dataset, dataset.splits.test_ms, dataset.splits.end_ms, 20, 12)
    slates = replace(slates, target=np.full(len(slates), -1))
    random = np.random.default_rng(1)
    predicted = random.random((*slates.items.shape, 5)).astype(np.float32)
    same = cost_of(served(slates, predicted, layout), served(slates, predicted, layout), slates, np.ones(5, np.float32), 15)
    assert same == Cost(0, 0, pytest.approx(1), 0, 0, len(slates))
    moved = predicted.copy()
    moved[0, 0, 0] += 0.25
    cost = cost_of(served(slates, predicted, layout), served(slates, moved, layout), slates, np.ones(5, np.float32), 15)
    assert cost.maxProbabilityDifference == pytest.approx(0.25)
    assert cost.meanProbabilityDifference == pytest.approx(0.25 / ((slates.shown >= 0).sum() * 5), rel=1e-3)
    labels = slates.labels(15)
    perfect, worst = (np.where(labels, sign, 0)[..., None] * np.ones(5, np.float32) for sign in (1, -1))
    lost = cost_of(served(slates, perfect, layout), served(slates, worst, layout), slates, np.ones(5, np.float32), 15)
    assert lost.hitAt3Difference < -0.5
    with pytest.raises(ValueError, match="no slate to compare precisions on"):
        cost_of(served(slates, predicted, layout), served(slates, predicted, layout), slates.take(np.zeros(0, int)), None, 15)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"maxProbabilityDifference": 0.3}, "a probability moves by 0.3"),
        ({"meanProbabilityDifference": 0.02}, "probabilities move by 0.02 on average"),
        ({"rankCorrelation": 0.9}, "rank correlation is 0.9"),
        ({"hitAt3Difference": -0.02}, "Hit@3 changes by -0.02"),
        ({"recallAt10Difference": -0.02}, "Recall@10 changes by -0.02"),
    ],
)
def test_int8_that_costs_too_much_does_not_serve(change, sentence):
    dear = replace(CHEAP, **change)
    assert len(reasons_against(dear, Bounds())) == 1
    name, why = choose(AUTO, dear, {FP32: SLOW, INT8: FAST}, Bounds())
    assert (name, sentence in why) == (FP32, True)
    with pytest.raises(ValueError, match=f"int8 graphs cannot serve: .*{sentence}"):
        choose(INT8, dear, {FP32: SLOW, INT8: FAST}, Bounds())


def test_the_rule():
    assert reasons_against(CHEAP, Bounds()) == []
    assert is_faster(FAST, SLOW, Bounds())
    assert not is_faster(replace(FAST, appendMs=0.6), SLOW, Bounds())
    assert choose(FP32, CHEAP, {FP32: SLOW, INT8: FAST}, Bounds())[0] == FP32
    assert choose(AUTO, CHEAP, {FP32: SLOW, INT8: FAST}, Bounds())[0] == INT8
    assert choose(AUTO, CHEAP, {FP32: FAST, INT8: SLOW}, Bounds())[0] == FP32
    assert choose(INT8, CHEAP, {FP32: FAST, INT8: SLOW}, Bounds())[0] == INT8, "who asks for it gets it, if it is right"


def test_int8_graphs_that_break_a_law_are_left_out(model, dataset, config, graphs, tmp_path, monkeypatch):
    draft = tmp_path / "draft"
    (draft / "graphs").mkdir(parents=True)
    for path in graphs.iterdir():
        (draft / "graphs" / path.name).write_bytes(path.read_bytes())
    paths = {name: f"graphs/{file}" for name, file in GRAPHS.items()}
    trial = Trial(model, dataset, config, draft, paths, item_table(model, dataset.items.upstream).astype(np.float32))
    real = trial_module.check_laws

    def strict(run, material, where, *others):
        if "int8" in where:
            raise LawBroken("graphs/int8: the graph rank breaks a law")
        return real(run, material, where, *others)

    monkeypatch.setattr(trial_module, "check_laws", strict)
    outcome = trial.run(AUTO)
    assert (outcome.served, set(outcome.precisions)) == (FP32, {FP32})
    assert "breaks a law" in outcome.why
    assert not (draft / "graphs/int8").exists()
    with pytest.raises(ValueError, match=r"int8 graphs cannot serve: .*breaks a law"):
        trial.run(INT8)
    with pytest.raises(ValueError, match="must be fp32, int8 or auto, not 'fp64'"):
        trial.run("fp64")
