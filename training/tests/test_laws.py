"""The laws of docs/release.md: PyTorch, the graphs and the int8 graphs keep them; graphs broken on purpose are found out."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from onepass_training.evaluation.predict import item_table
from onepass_training.model.rows import PAST_ACTION, RowLayout
from onepass_training.release import draft
from onepass_training.release.export import GRAPHS, WEIGHTS
from onepass_training.release.laws import EQUAL, LAWS, LawBroken, check_laws, positions, same_answers
from onepass_training.release.material import sample_material
from onepass_training.release.quantise import QUANTISED, quantise_graphs
from onepass_training.release.reference import GraphRunner, TorchRunner
from onepass_training.release.replay import Replay

NAMES = [law.name for law in LAWS]


@pytest.fixture(scope="module")
def material(model, graphs, dataset, config, layout):
    runner = GraphRunner(graphs, config.model.layers)
    table = item_table(model, dataset.items.upstream).astype(np.float32)
    replay = Replay(dataset, config, layout, runner, table, texts=True)
    return sample_material(dataset, config, layout, table, replay, model.tokenizer)


@pytest.fixture(scope="module")
def runners(model, graphs, config, tmp_path_factory):
    int8 = tmp_path_factory.mktemp("int8")
    quantise_graphs({name: graphs / GRAPHS[name] for name in QUANTISED}, int8 / "int8", WEIGHTS)
    mixed = {name: str((int8 / "int8" if name in QUANTISED else graphs) / file) for name, file in GRAPHS.items()}
    return {
        "torch": TorchRunner(model), "onnx": GraphRunner(graphs, config.model.layers),
        "int8": GraphRunner(int8, config.model.layers, mixed),
    }  # fmt: skip


@pytest.fixture(params=["torch", "onnx", "int8"])
def run(request, runners):
    return runners[request.param]


def test_the_material_is_real_and_made_up_and_empty(material):
    lengths = [len(rows) for rows in material.histories]
    assert lengths[0] == 0
    assert len(lengths) >= 4
    assert max(lengths[2:]) > 10
    assert len(material.texts) > 6


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_law_holds(run, material, law):
    assert law.difference(run, material) <= EQUAL


def test_graphs_equal_pytorch(runners, material):
    found = same_answers(runners["onnx"], runners["torch"], material)
    assert set(found) == set(GRAPHS)
    assert max(found.values()) <= EQUAL
    assert same_answers(runners["int8"], runners["torch"], material)["rank"] > EQUAL, "int8 has a cost, and it is seen"


def test_what_must_matter_does(run, material, layout):
    """Laws that hold because nothing reaches anything would be worth little."""
    rows = material.histories[1]
    hidden, cache = material.encode(run, rows, material.empty())
    changed = rows.copy()
    changed[3] += 1
    after, _ = material.encode(run, changed, material.empty())
    assert np.abs(after[3:] - hidden[3:]).max(axis=1).min() > 1e-5, "what is earlier changes all that is later"
    now, later = (run.rank(row[None], positions(1, len(rows)), material.candidates, material.candidate_row,
                           positions(1, len(rows) + 1), cache) for row in material.contexts[:2])  # fmt: skip
    assert np.abs(now - later).max() > 1e-6
    time, before, embedding = np.array([5_000]), np.array([1_000]), material.candidates[:1]
    open_, masked = (
        np.concatenate([embedding, layout.feature_rows(np.eye(1, 5), [hide], np.array([1]), time, before, PAST_ACTION)], axis=1)
        for hide in (False, True)
    )
    told, untold = (material.encode(run, row.astype(np.float32), material.empty())[0] for row in (open_, masked))
    assert np.abs(told - untold).max() > 1e-3


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_position_moves_nothing_but_distance(runners, material, name):
    """Rotary positions are relative: a history that starts later in the slot gives the same hidden states."""
    rows = material.histories[1][:8]
    here, there = (runners[name].encode(rows, positions(8, start), material.empty())[0] for start in (0, 20))
    np.testing.assert_allclose(here, there, rtol=0, atol=1e-4)


def test_nobody_gets_an_answer(run, material, layout):
    probabilities = material.rank(run, material.empty(), material.candidates)
    assert probabilities.shape == (len(material.candidates), len(layout.actions))
    assert ((probabilities > 0) & (probabilities < 1)).all()


def altered(graphs, tmp_path, name, change):
    """The graphs, `name` of them after `change(model)`."""
    out = tmp_path / "graphs"
    out.mkdir()
    for path in graphs.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    loaded = onnx.load(out / GRAPHS[name])
    change(loaded)
    onnx.save(loaded, out / GRAPHS[name])
    return out


def constants(model):
    return {tensor.name: tensor for tensor in model.graph.initializer}


def without_masks(model):
    """Everybody sees everything: what is added to a forbidden score is nothing."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and (values := numpy_helper.to_array(tensor)).min() < -1e8:
            tensor.CopyFrom(numpy_helper.from_array(np.zeros_like(values), tensor.name))


def another_bias(model):
    """One of the weights is not the model's."""
    held = constants(model)
    name = [node.input[2] for node in model.graph.node if node.op_type == "Gemm" and node.input[2] in held][-1]
    held[name].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(held[name]) + np.float32(0.5), name))


def among_company(model):
    """Texts are told apart from the mean of those they are embedded with."""
    last = model.graph.node[-1]
    mean = helper.make_node("ReduceMean", [last.input[0]], ["mean"], axes=[0], keepdims=1)
    model.graph.node.insert(len(model.graph.node) - 1, mean)
    model.graph.node.insert(len(model.graph.node) - 1, helper.make_node("Sub", [last.input[0], "mean"], ["centred"]))
    last.input[0] = "centred"


def among_candidates(model):
    """Candidates' probabilities are held against the best of them."""
    last = model.graph.node[-1]
    model.graph.node.insert(len(model.graph.node) - 1, helper.make_node("ReduceMax", [last.input[0]], ["best"], axes=[0]))
    model.graph.node.insert(len(model.graph.node) - 1, helper.make_node("Div", [last.input[0], "best"], ["relative"]))
    last.input[0] = "relative"


@pytest.mark.parametrize(
    ("name", "change", "broken"),
    [
        ("encode", without_masks, {NAMES[0], NAMES[1], NAMES[4], NAMES[5]}),
        ("rank", without_masks, {NAMES[1]}),
        ("rank", among_candidates, {NAMES[2]}),
        ("queryTower", among_company, {NAMES[6]}),
        ("rank", another_bias, set()),
    ],
    ids=["encode without its mask", "rank without its mask", "rank by the best", "texts in company", "another weight"],
)
def test_a_broken_graph_is_found_out(graphs, model, material, config, tmp_path, name, change, broken):
    run = GraphRunner(altered(graphs, tmp_path, name, change), config.model.layers)
    found = {law.name for law in LAWS if law.difference(run, material) > EQUAL}
    assert found == broken
    with pytest.raises(LawBroken, match=rf"made: the graph {name} breaks the law .* apart, where 1e-04 is allowed"):
        check_laws(run, material, "made", TorchRunner(model))


def test_rows_that_tell_a_masked_action_are_found_out(runners, material):
    class Telling(RowLayout):
        def feature_rows(self, actions, masked, *others):
            rows = super().feature_rows(actions, masked, *others)
            rows[..., : len(self.actions)] = actions
            return rows

    telling = replace(material, layout=Telling(**vars(material.layout)))
    with pytest.raises(LawBroken, match="masked action == unknown action"):
        check_laws(runners["onnx"], telling, "made")


def test_one_scale_for_all_rows_makes_candidates_each_others_neighbours(graphs, material, config, tmp_path):
    """ONNX Runtime's own dynamic quantisation: why release/quantise.py does its own."""
    for file in GRAPHS.values():
        if file in ("encode.onnx", "rank.onnx"):
            quantize_dynamic(graphs / file, tmp_path / file, per_channel=True, weight_type=QuantType.QInt8,
                             op_types_to_quantize=["MatMul"], extra_options={"MatMulConstBOnly": True})  # fmt: skip
        else:
            (tmp_path / file).write_bytes((graphs / file).read_bytes())
    (tmp_path / WEIGHTS).write_bytes((graphs / WEIGHTS).read_bytes())
    run = GraphRunner(tmp_path, config.model.layers)
    found = {law.name for law in LAWS if law.difference(run, material) > EQUAL}
    assert {NAMES[0], NAMES[2]} <= found


def test_a_draft_with_a_broken_graph_is_not_written(model, dataset, config, tmp_path, monkeypatch):
    export = draft.export_graphs

    def broken_export(model, directory, texts):
        files = export(model, directory, texts)
        loaded = onnx.load(directory / GRAPHS["encode"])
        without_masks(loaded)
        onnx.save(loaded, directory / GRAPHS["encode"])
        return files

    monkeypatch.setattr(draft, "export_graphs", broken_export)
    with pytest.raises(LawBroken, match="graphs: the graph encode breaks the law"):
        draft.write_draft(model, dataset, config, {}, tmp_path / "draft")
    assert list(tmp_path.iterdir()) == [], "nothing half-written"
