"""Encode by PagedAttention, which no CPU runs: the graph beside the operator in numpy, as its description has it."""

import json

import numpy as np
import onnx
import pytest
from device_people import DevicePeople
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from onepass_training.device.sizes import synthetic_sizes, synthetic_state
from onepass_training.device.write import Options, write_device_graphs

RANDOM = np.random.default_rng(9)


class PagedAttention(OpRun):
    """Packed queries, keys and values are rotated, keys and values written to their slots, and a row sees its person's first
    columns up to itself, by the block table."""

    op_domain = "com.microsoft"

    def _run(self, qkv, key, value, keys, values, starts, past, table, cos, sin, slots, *_, num_heads, **attributes):
        assert not any(part is not None and part.size for part in (key, value))
        assert (attributes["kv_num_heads"], attributes["do_rotary"]) == (num_heads, 1)
        assert keys.dtype == np.float16
        assert {array.dtype for array in (starts, past, table, slots)} == {np.dtype(np.int32)}
        size, tokens = keys.shape[-1], keys.shape[1]
        q, k, v = (part.astype(np.float32) for part in qkv.reshape(len(qkv), 3, num_heads, size).transpose(1, 0, 2, 3))
        places = np.concatenate([past[b] + np.arange(starts[b + 1] - starts[b]) for b in range(len(past))])
        q, k = (rotated(part, cos[places, None].astype(np.float32), sin[places, None].astype(np.float32)) for part in (q, k))
        keys.reshape(-1, num_heads, size)[slots], values.reshape(-1, num_heads, size)[slots] = k, v
        mixed = np.zeros((len(qkv), num_heads, size), np.float32)
        for b in range(len(past)):
            for row in range(starts[b], starts[b + 1]):
                column = np.arange(places[row] + 1)
                cells = table[b, column // tokens], column % tokens
                scores = np.einsum("hd,chd->hc", q[row], keys[cells].astype(np.float32)) * attributes["scale"]
                weights = np.exp(scores - scores.max(axis=1, keepdims=True))
                weights /= weights.sum(axis=1, keepdims=True)
                mixed[row] = np.einsum("hc,chd->hd", weights, values[cells].astype(np.float32))
        return (mixed.reshape(len(qkv), -1).astype(np.float16),)


class SkipLayerNormalization(OpRun):
    """A sum and its layer norm, which the graph has elsewhere too."""

    op_domain = "com.microsoft"

    def _run(self, x, skip, scale, shift, bias=None, epsilon=0.0):
        total = x.astype(np.float32) + skip + (0 if bias is None else bias)
        apart = total - total.mean(axis=-1, keepdims=True)
        normed = apart / np.sqrt((apart**2).mean(axis=-1, keepdims=True) + epsilon) * scale + shift
        unwanted = np.empty(0)
        return normed.astype(x.dtype), unwanted, unwanted, total.astype(x.dtype)


def rotated(x, cos, sin):
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


class PagedPeople(DevicePeople):
    """Encodes by the graph of PagedAttention: pools are written through its inputs."""

    def run(self, name, inputs, outputs, pools=True):
        model = onnx.load(self._directory / self.described["graphs"][name][self._variant])
        of = ReferenceEvaluator(model, new_ops=[PagedAttention, SkipLayerNormalization])
        feeds = {key: np.asarray(value, np.int64 if value.dtype.kind == "i" else np.float32) for key, value in inputs.items()}
        return dict(zip(outputs, of.run(list(outputs), feeds | self.pools), strict=True))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    sizes = synthetic_sizes(48, 2, 32, 2)
    out = tmp_path_factory.mktemp("paged") / "graphs"
    write_device_graphs(synthetic_state(sizes), sizes, out, Options("float16", ("attention", "paged")))
    return out


def test_appends_are_those_of_attention(directory):
    expected, found = DevicePeople(directory, "attention", 16), PagedPeople(directory, "paged", 16)
    for people in (expected, found):
        for pool in people.pools.values():
            pool[people.tokens :] = np.random.default_rng(3).standard_normal(pool[people.tokens :].shape)
    for new in ({"a": 17, "b": 1, "c": 4}, {"c": 1, "a": 1, "b": 1}, {"a": 1}, {"b": 3, "a": 2}):
        rows = {person: RANDOM.standard_normal((count, expected.described["columns"])) for person, count in new.items()}
        hidden = expected.encode(rows, padding=1)
        for person, state in found.encode(rows, padding=1, filler=np.nan).items():
            np.testing.assert_allclose(state, hidden[person], rtol=0, atol=1e-2 * np.abs(hidden[person]).max())
    for person in expected.lengths:
        for name, pool in expected.pools.items():
            held = pool[expected.rows_of(person)]
            np.testing.assert_allclose(found.pools[name][found.rows_of(person)], held, rtol=0, atol=1e-2 * np.abs(held).max())


def test_it_is_there_when_asked_for(directory, tmp_path):
    described = json.loads((directory / "device.json").read_text())
    assert described["graphs"]["encode"] == {"attention": "encode.attention.onnx", "paged": "encode.paged.onnx"}
    sizes = synthetic_sizes(48, 1, 32, 2)
    for options, sentence in (
        (Options("float32", ("paged",)), "--attention paged takes --dtype float16, not float32"),
        (Options("float16", ("paged",), 8), "takes pages of a power of two from 16 tokens on, not 8"),
    ):
        with pytest.raises(ValueError, match=sentence):
            write_device_graphs(synthetic_state(sizes), sizes, tmp_path / "graphs", options)
    assert list(tmp_path.iterdir()) == []
