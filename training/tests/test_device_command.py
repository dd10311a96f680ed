"""The command device-graphs: a release's weights, or random ones of any shape."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from device_fixtures import LAYERS, LAYOUT
from device_people import DevicePeople

from onepass_training.__main__ import main
from onepass_training.device.released import release_id, released
from onepass_training.device.sizes import Sizes, synthetic_sizes, synthetic_state
from onepass_training.device.write import VARIANTS, Options, write_device_graphs
from onepass_training.release.export import export_graphs
from onepass_training.release.laws import positions
from onepass_training.release.reference import GraphRunner, empty_cache

DEFAULT = Path(__file__).parents[2] / "releases" / "default"
GRAPHS_OF = ["device-graphs", "--release", str(DEFAULT)]
SHAPE = ["--n", "24", "--layers", "3", "--width", "32", "--heads", "2"]
GRAPHS = {f"{name}.{variant.name}.onnx" for variant in VARIANTS.values() for name in variant.graphs}


def answers(people, random):
    """Probabilities of one request to one person of whom 20 tokens are known."""
    columns, embedding = people.described["columns"], people.described["embedding"]
    history = random.standard_normal((20, columns)).astype(np.float32)
    context = random.standard_normal((1, 1, 1, columns)).astype(np.float32)
    candidates = random.standard_normal((1, 1, 30, embedding)).astype(np.float32) * np.float32(embedding**-0.5)
    shared = random.standard_normal((1, 1, columns - embedding)).astype(np.float32)
    hidden = people.encode({"a": history})["a"]
    return (history, context, candidates, shared), hidden, people.rank(["a"], context, [[1]], candidates, shared)[0, 0]


def test_a_release_answers_as_its_own_graphs_do(tmp_path, capsys):
    assert main([*GRAPHS_OF, "--out", str(tmp_path / "graphs")]) == 0
    assert str(tmp_path / "graphs") in capsys.readouterr().out
    run = GraphRunner(DEFAULT / "graphs", 4)
    for variant in ("plain", "mha", "attention"):
        people = DevicePeople(tmp_path / "graphs", variant)
        (history, context, candidates, shared), hidden, found = answers(people, np.random.default_rng(4))
        states, cache = run.encode(history, positions(20), empty_cache(4, 128))
        np.testing.assert_allclose(hidden, states[-1], rtol=0, atol=1e-3)
        after = np.array([21], np.float32)
        expected = run.rank(context[0, 0], positions(1, 20), candidates[0, 0], shared[0], after, cache)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_a_directory_says_whose_weights_it_has_and_what_is_in_its_files(tmp_path):
    of_release = [*GRAPHS_OF, "--attention", "plain", "--out", str(tmp_path / "released")]
    assert main(of_release) == 0
    assert main(["device-graphs", *SHAPE, "--attention", "plain", "--out", str(tmp_path / "random")]) == 0
    known = json.loads((DEFAULT / "manifest.json").read_text())["id"]
    for name, expected in (("released", known), ("random", None)):
        described = json.loads((tmp_path / name / "device.json").read_text())
        assert described["releaseId"] == expected
        found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / name).iterdir()}
        assert described["files"] == {file: digest for file, digest in found.items() if file != "device.json"}


def test_weights_are_read_back(device_model, device_sizes, tmp_path):
    export_graphs(device_model, tmp_path / "graphs", texts=False)
    manifest = {
        "model": {"layers": LAYERS, "width": 32, "heads": 2, "itemDimension": 8, "window": 32, "contextRows": 8},
        "vocabulary": {"actions": [{"name": name} for name in LAYOUT.actions]},
        "graphs": {name: f"graphs/{name}.onnx" for name in ("encode", "rank")},
    }  # fmt: skip
    (tmp_path / "manifest.draft.json").write_text(json.dumps(manifest))
    sizes, state = released(tmp_path)
    assert sizes == device_sizes
    assert release_id(tmp_path) is None, "a draft has none yet"
    expected = device_model.serving_state()
    for name, array in state.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-6, err_msg=name)
    unknown = {name.split(".")[0] for name in expected.keys() - state.keys()}
    assert not unknown & {"input", "trunk", "final_norm", "action_head", "wanted"}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_random_weights_of_any_shape(tmp_path, dtype):
    wanted = ["device-graphs", *SHAPE, "--dtype", dtype, "--page-tokens", "8", "--out", str(tmp_path / "graphs")]
    assert main(wanted) == 0
    described = json.loads((tmp_path / "graphs" / "device.json").read_text())
    assert {key: described[key] for key in ("formatVersion", "dtype", "pageTokens", "layers", "width", "heads", "window")} == {
        "formatVersion": 1, "dtype": dtype, "pageTokens": 8, "layers": 3, "width": 32, "heads": 2, "window": 24,
    }  # fmt: skip
    files = {path.name for path in (tmp_path / "graphs").iterdir()}
    assert files == {*GRAPHS, "gather.onnx", "weights.bin", "device.json"}
    people = DevicePeople(tmp_path / "graphs")
    _, _, found = answers(people, np.random.default_rng(1))
    assert np.isfinite(found).all()
    assert (found.std(axis=0) > 0.005).all()
    before = (tmp_path / "graphs" / "weights.bin").read_bytes()
    assert main(wanted) == 0
    assert (tmp_path / "graphs" / "weights.bin").read_bytes() == before
    assert main([*wanted, "--attention", "plain", "--seed", "2"]) == 0
    files = {path.name for path in (tmp_path / "graphs").glob("*.onnx")}
    assert files == {name for name in GRAPHS if "plain" in name} | {"gather.onnx"}
    assert (tmp_path / "graphs" / "weights.bin").read_bytes()[:1000] != before[:1000]


@pytest.mark.parametrize(("attention", "most"), [("plain", 1.1), ("attention", 1.1 + 4 / 12 * 72 / 64)])
def test_weights_are_in_the_file_once(tmp_path, attention, most):
    """But for attention's, which a kernel that wants spare dimensions has with them."""
    sizes = synthetic_sizes(24, 3, 128, 2)
    state = synthetic_state(sizes)
    write_device_graphs(state, sizes, tmp_path / "graphs", Options("float16", (attention,)))
    numbers = sum(array.size for array in state.values())
    assert numbers * 2 <= (tmp_path / "graphs" / "weights.bin").stat().st_size < numbers * 2 * most


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "say what the graphs are of: --release DIR, or random weights by --n, --layers, --width"),
        (["--n", "24", "--layers", "3"], "random weights by --width"),
        ([*SHAPE, "--release", "x"], "--release has weights of its own, and takes no --n"),
        (["--release", "x"], "x is no release"),
        ([*SHAPE[:-1], "5"], "5 heads do not cut a width of 32"),
        ([*SHAPE, "--attention", "plain,flash"], "--attention takes plain, mha, attention, gqa, paged, not flash"),
        ([*SHAPE, "--page-tokens", "2000"], "--page-tokens must be from 1 to 1024, not 2000"),
    ],
)
def test_what_cannot_be_is_told_in_one_sentence(tmp_path, capsys, options, sentence):
    assert main(["device-graphs", *options, "--out", str(tmp_path / "graphs")]) == 1
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [], "nothing half-written"


def test_what_is_not_ours_is_not_replaced(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("dear")
    assert main(["device-graphs", *SHAPE, "--out", str(tmp_path)]) == 1
    assert "holds something that is not device graphs" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_weights_that_are_too_large_for_float16_are_named(tmp_path):
    sizes = synthetic_sizes(24, 1, 32, 2)
    state = synthetic_state(sizes)
    state["trunk.blocks.0.up.bias"][3] = 1e5
    with pytest.raises(ValueError, match=r"trunk\.blocks\.0\.up\.bias has weights that are no float16 numbers"):
        write_device_graphs(state, sizes, tmp_path / "graphs", Options("float16"))
    with pytest.raises(ValueError, match="reads rows of 37 columns, not 40"):
        write_device_graphs(state, Sizes(1, 32, 2, 40, 16, 5, 24), tmp_path / "graphs")
    assert list(tmp_path.iterdir()) == []


def test_no_pytorch_is_needed(tmp_path):
    """Machines that only measure have none, and the command is quick for it."""
    code = (
        "import sys; from onepass_training.device.__main__ import main; "
        f"code = main(['device-graphs', *{SHAPE!r}, '--out', {str(tmp_path / 'graphs')!r}]); "
        "sys.exit(code or int('torch' in sys.modules or 'onnxruntime' in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1] / "src")
    assert onnx.load(tmp_path / "graphs" / "rank.mha.onnx", load_external_data=False).graph.name == "rank.mha"
