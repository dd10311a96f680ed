"""Device graphs: every variant equals PyTorch, and what the files say of themselves."""

import numpy as np
import onnx
import pytest
from device_fixtures import EQUAL, LAYERS, RANDOM, WIDTH, requests, rows
from device_people import DevicePeople

from onepass_training.device.write import VARIANTS
from onepass_training.release.laws import positions
from onepass_training.release.reference import TorchRunner, empty_cache, joined


class Reference:
    """One person at a time, in PyTorch."""

    def __init__(self, model):
        self.run = TorchRunner(model)
        self.histories, self.caches = {}, {}

    def encode(self, rows):
        hidden = {}
        for person, new in rows.items():
            cache = self.caches.get(person, empty_cache(LAYERS, WIDTH))
            states, added = self.run.encode(new, positions(len(new), len(cache[0][0])), cache)
            self.caches[person] = joined(cache, added)
            self.histories[person] = np.concatenate([self.histories.get(person, new[:0]), new])
            hidden[person] = states[-1]
        return hidden

    def rank(self, person, context, candidates, shared):
        cache = self.caches.get(person, empty_cache(LAYERS, WIDTH))
        p, after = len(cache[0][0]), np.array([len(cache[0][0]) + len(context)], np.float32)
        return self.run.rank(context, positions(len(context), p), candidates, shared[None], after, cache)

    def rank_all(self, people, context, counts, candidates, shared):
        return np.stack([
            np.stack([self.rank(person, context[i, s, : counts[i, s]], candidates[i, s], shared[i, s])
                      for s in range(context.shape[1])])
            for i, person in enumerate(people)
        ])  # fmt: skip


@pytest.fixture
def reference(device_model):
    return Reference(device_model)


def test_graphs_are_whole_and_named_as_the_contract_has_it(device_directory):
    for path in device_directory.glob("*.onnx"):
        onnx.checker.check_model(path)
    encode = onnx.load(device_directory / "encode.plain.onnx", load_external_data=False).graph
    assert [value.name for value in encode.input][:5] == ["rows", "lengths", "counts", "pages", "targets"]
    assert {value.name for value in encode.output} == {
        "hidden", *(f"{part}_pool_out_{layer}" for part in ("key", "value") for layer in range(LAYERS))
    }  # fmt: skip


def test_encode_and_append_equal_pytorch(people, reference, equal):
    for new in ({"a": 9, "b": 1, "c": 4}, {"b": 5, "a": 1}, {"c": 1}, {"a": 2, "b": 1, "c": 8}):
        new = {person: rows(count) for person, count in new.items()}
        found, expected = people.encode(new), reference.encode(new)
        for person in new:
            equal(found[person], expected[person])
    for person, cache in reference.caches.items():
        for layer, pair in enumerate(cache):
            for part, array in zip(("key", "value"), pair, strict=True):
                equal(people.pools[f"{part}_pool_{layer}"][people.rows_of(person)], array)


@pytest.mark.parametrize("variant", VARIANTS)
def test_prefill_equals_pytorch(device_directory, device_sessions, device_model, variant):
    people = DevicePeople(device_directory, variant, sessions=device_sessions.setdefault(device_directory, {}))
    reference, new = Reference(device_model), {"a": rows(9), "b": rows(1), "c": rows(4)}
    expected, bound = reference.encode(new), EQUAL[people.dtype.name]
    for padding in (0, 3):
        for person in new:
            people.lengths[person] = 0
        found = people.encode(new, padding, filler=padding and np.nan, graph="prefill")
        for person, cache in reference.caches.items():
            np.testing.assert_allclose(found[person], expected[person], rtol=0, atol=bound * np.abs(expected[person]).max())
            held = (array for pair in cache for array in pair)
            for pool, array in zip(people.pools.values(), held, strict=True):
                own = pool[people.rows_of(person)]
                np.testing.assert_allclose(own, array, rtol=0, atol=bound * np.abs(array).max())


@pytest.mark.parametrize(("slates", "contexts"), [(1, 1), (1, 8), (3, 2), (2, 1)])
def test_rank_equals_pytorch(people, reference, equal, slates, contexts):
    known = {"a": rows(9), "b": rows(1), "c": rows(4)}
    people.encode(known), reference.encode(known)
    everybody = ["c", "nobody", "a", "b"]
    people.room("nobody", 1)
    asked = requests(4, slates, contexts)
    asked[1][:] = RANDOM.integers(1, contexts + 1, asked[1].shape)
    equal(people.rank(everybody, *asked), reference.rank_all(everybody, *asked))


def test_a_whole_window_and_all_contexts(people, reference, equal):
    """The last position that there is."""
    known = {"a": rows(32)}
    people.encode(known), reference.encode(known)
    asked = requests(1, contexts=8)
    equal(people.rank(["a"], *asked), reference.rank_all(["a"], *asked))


SHAPE_INPUTS = {
    "Reshape": {1}, "Expand": {1}, "Range": {0, 1, 2}, "Split": {1}, "Unsqueeze": {1}, "ReduceSum": {1},
    "GroupQueryAttention": {6},
    "Pad": {1},
}  # fmt: skip
"""Inputs that are read in host memory wherever an operator runs."""


def met(graph):
    """Of each node but those of shapes alone: the node, its values of shapes that meet data, which lie in host memory, and
    the data."""
    constants = {tensor.name for tensor in graph.initializer}
    host = set()
    for node in graph.node:
        shapes = SHAPE_INPUTS.get(node.op_type, set())
        data = [name for index, name in enumerate(node.input) if name and index not in shapes and name not in constants]
        if node.op_type == "Shape" or (data and host.issuperset(data)):
            host.update(node.output)
        else:
            yield node, host.intersection(data), data


def copied_to_the_device(graph):
    """Values of shapes that meet data: on a device they would be copied to it within every run."""
    return [(node.op_type, *shapes) for node, shapes, _ in met(graph) if shapes]


def test_no_run_copies_anything_to_the_device(device_directory):
    """So that runs can be captured as CUDA graphs."""
    for path in device_directory.glob("*.onnx"):
        assert copied_to_the_device(onnx.load(path, load_external_data=False).graph) == [], path.name


def test_fused_graphs_join_and_cut_nothing(device_directory):
    """CUDA's kernels for that read sizes which are copied to them from host memory."""
    for path in device_directory.glob("*.onnx"):
        graph = onnx.load(path, load_external_data=False).graph
        joined = [node.op_type for node, _, data in met(graph) if data and node.op_type in ("Concat", "Split")]
        assert not joined or "plain" in path.name, path.name


def test_no_thread_is_given_a_row_to_write(device_directory):
    """A thread of CUDA's ScatterND writes what one index names, one number after the other."""
    graph = onnx.load(device_directory / "encode.attention.onnx", load_external_data=False).graph
    shapes = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in graph.output}
    written = [node.output[0] for node in graph.node if node.op_type == "ScatterND"]
    assert sorted(written) == sorted(name for name in shapes if "pool" in name)
    assert all(shapes[name][1:] == [WIDTH // 8, 8] for name in written)


def test_such_copies_are_found_out():
    nodes = [
        onnx.helper.make_node("Shape", ["x"], ["shape"]), onnx.helper.make_node("Add", ["shape", "one"], ["host"]),
        onnx.helper.make_node("Reshape", ["x", "host"], ["y"]), onnx.helper.make_node("Mul", ["y", "host"], ["z"]),
    ]  # fmt: skip
    one = onnx.numpy_helper.from_array(np.ones(1, np.int64), "one")
    assert copied_to_the_device(onnx.helper.make_graph(nodes, "g", [], [], [one])) == [("Mul", "host")]


def test_no_bound_of_a_slice_is_known_in_a_run_only(device_directory):
    for path in device_directory.glob("*.onnx"):
        assert "Slice" not in {node.op_type for node in onnx.load(path, load_external_data=False).graph.node}
