"""The device bench's peer in PyTorch: what the model's own trunk gives for each person, and a process that answers lines."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from onepass_training.device.sizes import Sizes, synthetic_state
from onepass_training.peer import ahead
from onepass_training.peer.attention import Pass
from onepass_training.peer.cases import KINDS, Case, Prepared
from onepass_training.peer.serve import Peer
from onepass_training.peer.shape import layout_of, made_up_model, made_up_numbers
from onepass_training.peer.trunk import PeerTrunk

SHAPE = Sizes(layers=2, width=16, heads=2, columns=24, embedding=8, actions=2, window=12)
EQUAL = 1e-5
KNOWN = (0.35645369, 0.30233049, 0.21598978, -0.41782346)
PEOPLE, SLATES, CONTEXTS, CANDIDATES, N = 3, 2, 2, 5, 12


@pytest.fixture(scope="module")
def trunk():
    return PeerTrunk(made_up_model(SHAPE, 1), torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def inputs():
    random = np.random.default_rng(2)
    layout = layout_of(SHAPE)
    shapes = (
        (PEOPLE, N, layout.columns), (PEOPLE, SLATES, CONTEXTS, layout.columns),
        (PEOPLE, SLATES, CANDIDATES, layout.embedding), (PEOPLE, SLATES, layout.features),
    )  # fmt: skip
    return [torch.from_numpy(random.standard_normal(shape, dtype=np.float32)) for shape in shapes]


def one_by_one(model, rows, context, candidates, candidate_row):
    """Hidden [b, W] and probabilities [b, s, k, A] by the model's own trunk."""
    hidden, found, position = [], [], float(N)
    with torch.inference_mode():
        for person in range(PEOPLE):
            empty = [(torch.zeros(0, SHAPE.width), torch.zeros(0, SHAPE.width))] * SHAPE.layers
            last, cache = model.encode(rows[person], torch.arange(N), empty)
            hidden.append(last[-1])
            for slate in range(SLATES):
                at, behind = position + torch.arange(CONTEXTS), torch.tensor([position + CONTEXTS])
                about, shared = context[person, slate], candidate_row[person, slate][None]
                found.append(model.rank(about, at, candidates[person, slate], shared, behind, cache))
    return torch.stack(hidden), torch.stack(found).unflatten(0, (PEOPLE, SLATES))


def passes(trunk, inputs, attention="sdpa", split=N):
    """The same by the peer: `split` tokens encoded, the others appended, then ranked; and all in one pass."""
    rows, *slates = inputs
    of_slates = {"slates": SLATES, "contexts": CONTEXTS, "candidates": CANDIDATES}
    rank, recompute = Pass(held=N, **of_slates), Pass(held=0, new=N, **of_slates)
    cache = trunk.cache(PEOPLE, rank.keys)
    with torch.inference_mode():
        hidden = trunk.encode(rows[:, :split], trunk.way(Pass(held=0, new=split), attention), cache)
        if split < N:
            hidden = trunk.encode(rows[:, split:], trunk.way(Pass(held=split, new=N - split), attention), cache)
        ranked = trunk.rank(*slates, trunk.way(rank, attention), cache)
        again = trunk.rank(*slates, trunk.way(rank, attention), cache)
        assert torch.equal(ranked, again)
        return hidden, ranked, trunk.recompute(rows, *slates, trunk.way(recompute, attention))


@pytest.mark.parametrize("split", [N, 11, 4])
def test_the_peer_gives_what_the_model_s_own_trunk_gives_for_each_person_alone(trunk, inputs, split):
    hidden, ranked, recomputed = passes(trunk, inputs, split=split)
    own_hidden, own = one_by_one(made_up_model(SHAPE, 1), *inputs)
    assert (hidden - own_hidden).abs().max() < EQUAL
    assert (ranked - own).abs().max() < EQUAL
    assert (recomputed - own).abs().max() < EQUAL
    assert own.std() > 0.01


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_sees_what_the_plain_mask_sees(trunk, inputs):
    plain = passes(trunk, inputs)
    for attention in ("flex", "flex contiguous"):
        flex = passes(trunk, inputs, attention)
        assert all((one - other).abs().max() < EQUAL for one, other in zip(plain, flex, strict=True))


def test_half_precision_changes_little(inputs):
    half = PeerTrunk(made_up_model(SHAPE, 1), torch.device("cpu"), torch.float16)
    _, own = one_by_one(made_up_model(SHAPE, 1), *inputs)
    for found in passes(half, inputs)[1:]:
        assert (found - own).abs().max() < 1e-2


def test_a_candidate_sees_past_contexts_of_its_slate_and_itself():
    of = Pass(held=2, new=1, slates=2, contexts=2, candidates=2)
    told = ["".join(".x"[int(seen)] for seen in row) for row in of.mask(torch.device("cpu"))]
    assert told == [
        "xxx........",
        "xxxx.......",
        "xxxxx......",
        "xxxxxx.....",
        "xxxxx.x....",
        "xxx....x...",
        "xxx....xx..",
        "xxx....xxx.",
        "xxx....xx.x",
    ]
    assert of.positions(torch.device("cpu")).tolist() == [2, 3, 4, 5, 5, 3, 4, 5, 5]


def test_in_the_last_layer_only_rows_that_are_read_look_at_keys():
    slate = {"slates": 1, "contexts": 1}
    passes = [Pass(held=2, new=3), Pass(held=0, new=2, candidates=2, **slate), Pass(held=2, candidates=1, **slate)]
    masks = [of.last_layer.mask(torch.device("cpu")) for of in passes]
    told = [["".join(".x"[int(seen)] for seen in row) for row in mask] for mask in masks]
    assert told == [["xxxxx"], ["xxx..", "xxxx.", "xxx.x"], ["xxx.", "xxxx"]]


@pytest.mark.parametrize("kind", ["encode", "append", "rank", "recompute"])
def test_a_prepared_case_is_timed_and_has_the_batch_s_outputs(trunk, kind):
    case = Case(kind, batch=2, n=8, k=4, rows=2, slates=2, attention="sdpa")
    prepared = Prepared(trunk, case, seed=1)
    times = prepared.time(3)
    assert all(len(micros) == 3 and min(micros) > 0 for micros in times.values())
    shape = (2, 2, 4, SHAPE.actions) if case.scores else (2, SHAPE.width)
    assert prepared.outputs().shape == shape
    assert prepared.outputs().isfinite().all()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"do": "fly"}, "'fly' is none of hello"),
        ({"do": "prepare", "kind": "rank", "batch": 1, "n": 2, "k": 1}, "no model yet"),
        ({"do": "model", "layers": 1, "colour": 2}, "'colour' is none of"),
        ({"do": "model", "layers": 1}, "'actions' is missing"),
        ({"do": "time", "case": 0, "runs": 1}, "no case 0"),
        ({"do": "time", "case": 0.5}, "case must be a whole number"),
        ({"do": "model", **vars(SHAPE), "heads": 3}, "3 heads do not cut a width of 16"),
        ({"do": "model", **vars(SHAPE), "columns": 22}, "too few"),
        ({"do": "model", **vars(SHAPE), "dtype": "int8"}, "dtype must be one of"),
    ],
)
def test_what_is_wrong_with_a_request_is_one_sentence_and_the_peer_goes_on(asked, says):
    peer = Peer()
    assert says in peer.answer(json.dumps(asked))["error"]
    assert "torch" in peer.answer('{"do": "hello"}')["ok"]
    assert "error" in peer.answer("not JSON")


def test_the_weights_are_those_of_the_device_graphs():
    served, wanted = made_up_model(SHAPE, 3).serving_state(), synthetic_state(SHAPE, 3)
    assert len(wanted) > 20
    for name, value in wanted.items():
        assert np.abs(served[name] - value).max() < 1e-6, name


def test_inputs_are_the_same_as_in_typescript():
    """perf/src/gpu/made-up.test.ts has these numbers too."""
    assert np.allclose(made_up_numbers((2, 2), 1, 2, 0.5).ravel(), KNOWN, atol=1e-7)
    assert abs(made_up_numbers((10_000,), 1, 0, 1.0).std() - 3**-0.5) < 0.01


def test_a_batch_s_ranking_is_that_of_its_recompute_and_its_append_that_of_its_encode(trunk):
    of = {"batch": 2, "n": 8, "k": 4, "rows": 3}
    encode, append, rank, recompute = (Prepared(trunk, Case(kind, **of), seed=5).outputs() for kind in KINDS)
    assert (encode - append).abs().max() < EQUAL
    assert (rank - recompute).abs().max() < EQUAL


def test_cases_that_cannot_be_are_refused():
    all_held = {"kind": "append", "rows": 8}
    for wrong, says in (({"kind": "fly"}, "kind"), ({"batch": 0}, "batch"), ({"k": 0}, "k must"), (all_held, "none")):
        with pytest.raises(ValueError, match=says):
            Case(**{"kind": "rank", "batch": 1, "n": 8, "k": 1, **wrong})


def test_the_process_answers_line_by_line():
    model = {"do": "model", "device": "cpu", **vars(SHAPE)}
    case = {"kind": "rank", "batch": 1, "n": 4, "k": 2}
    timed, outputs = {"do": "time", "case": 0, "runs": 2}, {"do": "outputs", "case": 0}
    copies = {"do": "copy", "bytes": 9, "runs": 1}
    asked = [{"do": "hello"}, model, {"do": "prepare", **case}, timed, outputs, {"do": "release"}, timed, copies]
    lines = "".join(f"{json.dumps(one)}\n" for one in asked)
    command = [sys.executable, "-m", "onepass_training.peer"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True, timeout=120, env=environment)
    here, hello, made, prepared, timed, outputs, released, gone, copied = (
        json.loads(line) for line in done.stdout.splitlines()
    )
    assert here == {"here": True}
    assert hello["ok"]["torch"] == torch.__version__
    assert made["ok"]["parameters"] > 0
    assert prepared["ok"] == 0
    assert len(timed["ok"]["deviceMicros"]) == 2
    assert len(outputs["ok"]) == 2 * SHAPE.actions
    assert released["ok"] is None
    assert "no case 0" in gone["error"]
    assert copied["ok"]["wallMicros"][0] > 0


def test_passes_are_prepared_ahead(capsys):
    shape = {"n": 12, "layers": 1, "width": 16, "heads": 2, "k": 5, "batch": 2}
    assert ahead.main([f"--{name}={value}" for name, value in shape.items()] + ["--dtype=float32"]) == 0
    lines = capsys.readouterr().out.splitlines()
    passes = [f"{kind}, sdpa, B={batch}" for kind, batch in [*((kind, 2) for kind in ahead.PASSES), ("rank", 1)]]
    assert [line.split(":")[0] for line in lines[1:]] == passes
    assert all(line.endswith(" s") for line in lines[1:])


STARTS_A_PEER = """
import subprocess, sys
peer = subprocess.Popen([sys.executable, "-m", "onepass_training.peer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
peer.stdin.write(b'{"do": "hello"}\\n')
peer.stdin.flush()
peer.stdout.readline()
print(peer.pid, flush=True)
input()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a signal of Linux")
def test_a_process_that_stands_still_ends_with_the_one_that_started_it():
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    with subprocess.Popen([sys.executable, "-c", STARTS_A_PEER], stdin=-1, stdout=-1, text=True, env=environment) as starter:
        peer = os.pidfd_open(int(starter.stdout.readline()))
        signal.pidfd_send_signal(peer, signal.SIGSTOP)
        starter.kill()
    ended, _, _ = select.select([peer], [], [], 60)
    os.close(peer)
    assert ended
