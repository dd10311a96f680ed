"""The laws of docs/release.md, each for PyTorch and for the exported graphs; and the graphs against PyTorch."""

import numpy as np
import pytest
from conftest import Case, TorchRunner

from onepass_training.model.rows import PAST_ACTION, RawEvent, history_rows

EQUAL = {"rtol": 0, "atol": 1e-4}
HISTORIES = (0, 1, 7, 32)


def join(first, second):
    return [(np.concatenate([k, a]), np.concatenate([v, b])) for (k, v), (a, b) in zip(first, second, strict=True)]


def assert_same_cache(first, second):
    for pair, other in zip(first, second, strict=True):
        for array, expected in zip(pair, other, strict=True):
            np.testing.assert_allclose(array, expected, **EQUAL)


@pytest.mark.parametrize("cut", [0, 1, 13, 19])
def test_appending_equals_the_full_pass(case, cut):
    rows, positions = case.rows(20), case.positions(20)
    hidden, cache = case.run.encode(rows, positions, case.empty())
    head, kept = case.run.encode(rows[:cut], positions[:cut], case.empty()) if cut else (rows[:0, :1], case.empty())
    tail, added = case.run.encode(rows[cut:], positions[cut:], kept)
    assert_same_cache(join(kept, added), cache)
    np.testing.assert_allclose(tail, hidden[cut:], **EQUAL)
    assert len(head) == cut


@pytest.mark.parametrize("past", HISTORIES)
@pytest.mark.parametrize("contexts", [1, 3])
def test_ranking_on_a_cache_equals_ranking_everything_in_one_pass(case, past, contexts):
    """Past rows may as well come as context rows of an empty history: those are causal too."""
    on_cache = case.rank(case.cache(past), case.candidates(9), contexts)
    rows = np.concatenate([case.rows(past), case.rows(contexts, 2)])
    rows[past:, -7:-4] = 0.1
    shared = case.rows(1, 3)[:, : case.features]
    shared[:, -7:-4] = 0.1
    after = np.array([past + contexts], np.float32)
    whole = case.run.rank(rows, case.positions(past + contexts), case.candidates(9), shared, after, case.empty())
    np.testing.assert_allclose(on_cache, whole, **EQUAL)


@pytest.mark.parametrize("past", HISTORIES)
def test_a_candidates_score_depends_on_no_neighbour_and_no_order(case, past):
    cache, candidates = case.cache(past), case.candidates(12)
    together = case.rank(cache, candidates)
    order = np.random.default_rng(5).permutation(12)
    np.testing.assert_allclose(case.rank(cache, candidates[order]), together[order], **EQUAL)
    for row in range(12):
        np.testing.assert_allclose(case.rank(cache, candidates[row : row + 1]), together[row : row + 1], **EQUAL)


def test_a_masked_action_is_an_unknown_action(case, layout):
    """Whatever was done, a masked position looks the same: the row itself has nothing left of it."""
    time, before = np.array([5_000]), np.array([1_000])
    done = [
        layout.feature_rows(np.array([actions], np.float32), [True], np.array([1]), time, before, PAST_ACTION)
        for actions in ([1, 0, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0])
    ]
    open_ = layout.feature_rows(np.array([[1, 0, 0, 0, 0]], np.float32), [False], np.array([1]), time, before, PAST_ACTION)
    embedding = case.candidates(1)
    hidden = [
        case.run.encode(np.concatenate([embedding, row], axis=1), case.positions(1), case.empty())[0] for row in (*done, open_)
    ]
    np.testing.assert_array_equal(hidden[0], hidden[1])
    np.testing.assert_array_equal(hidden[0], hidden[2])
    assert np.abs(hidden[0] - hidden[3]).max() > 1e-3


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_appending_to_a_history_with_queries_equals_the_full_pass(case, layout, cut):
    """Whatever else is embedded in the same run, a query's row is a function of its own text."""
    events = [
        RawEvent(None, ("search",), "search", 1_000 * k, text) if k % 2 else RawEvent(f"{k}", ("click",), "search", 1_000 * k)
        for k, text in enumerate(case.world.queries[:8])
    ]

    def rows_of(events):
        ids, weights = case.tokenizer.batch([event.query or "" for event in events])
        embeddings = dict(zip((event.query for event in events), case.run.embed_queries(ids, weights), strict=True))
        return history_rows(layout, events, lambda item: case.candidates(8)[int(item)], embeddings.__getitem__)[0]

    rows = rows_of(events)
    np.testing.assert_allclose(rows_of(events[: cut + 1]), rows[: cut + 1], **EQUAL)
    _, cache = case.run.encode(rows, case.positions(8), case.empty())
    _, kept = case.run.encode(rows[:cut], case.positions(cut), case.empty()) if cut else (None, case.empty())
    _, added = case.run.encode(rows[cut:], case.positions(8 - cut, cut), kept)
    assert_same_cache(join(kept, added), cache)


def test_padding_and_company_change_no_texts_embedding(case):
    texts = ["mug", "teal rustic planter", "", "a much longer text than all of the others here"]
    together = case.run.embed_queries(*case.tokenizer.batch(texts))
    for row, text in enumerate(texts):
        np.testing.assert_allclose(case.run.embed_queries(*case.tokenizer.batch([text]))[0], together[row], **EQUAL)


@pytest.mark.parametrize("changed", [1, 10, 19])
def test_nothing_later_changes_anything_earlier(case, changed):
    rows = case.rows(20)
    hidden, cache = case.run.encode(rows, case.positions(20), case.empty())
    rows[changed:] = case.rows(20 - changed, seed=9)
    after, changed_cache = case.run.encode(rows, case.positions(20), case.empty())
    np.testing.assert_allclose(after[:changed], hidden[:changed], **EQUAL)
    assert_same_cache([(k[:changed], v[:changed]) for k, v in changed_cache], [(k[:changed], v[:changed]) for k, v in cache])
    assert np.abs(after[changed:] - hidden[changed:]).max() > 1e-3


def test_the_requests_time_changes_the_answer_but_no_past_key_or_value(case):
    """A context row runs behind the new rows of an append; the rows' keys and values do not notice it."""
    rows = case.rows(6)
    contexts = case.rows(2, 4)
    answers = []
    for context in contexts:
        behind = np.concatenate([rows[4:], context[None]])
        hidden, new = case.run.encode(behind, case.positions(3, 4), case.cache(4))
        answers.append((hidden[-1], [(k[:2], v[:2]) for k, v in new]))
    assert_same_cache(answers[0][1], answers[1][1])
    assert np.abs(answers[0][0] - answers[1][0]).max() > 1e-3
    cache = case.cache(6)
    assert np.abs(case.rank(cache, case.candidates(4), now=0.1) - case.rank(cache, case.candidates(4), now=0.9)).max() > 1e-6


def test_position_moves_nothing_but_distance(case):
    """Rotary positions are relative: a history that starts later in the slot gives the same hidden states."""
    rows = case.rows(8)
    here, _ = case.run.encode(rows, case.positions(8), case.empty())
    there, _ = case.run.encode(rows, case.positions(8, 20), case.empty())
    np.testing.assert_allclose(here, there, **EQUAL)


def test_nobody_gets_an_answer(case):
    hidden, new = case.run.encode(case.rows(1), case.positions(1), case.empty())
    probabilities = case.rank(case.empty(), case.candidates(5))
    assert hidden.shape == (1, case.config.model.width)
    assert len(new) == case.config.model.layers
    assert probabilities.shape == (5, 5)
    assert ((probabilities > 0) & (probabilities < 1)).all()


@pytest.mark.parametrize("case", ["onnx"], indirect=True)
@pytest.mark.parametrize("past", HISTORIES)
def test_graphs_equal_pytorch(case, past, model):
    torch_case = Case(TorchRunner(model), case.config, case.world, case.features, case.columns)
    ours, theirs = case.cache(past), torch_case.cache(past)
    assert_same_cache(ours, theirs)
    for contexts in (1, 8):
        expected = torch_case.rank(theirs, case.candidates(40), contexts)
        np.testing.assert_allclose(case.rank(ours, case.candidates(40), contexts), expected, **EQUAL)
    hidden = torch_case.run.encode(case.rows(1, 8), case.positions(1, past), theirs)[0]
    np.testing.assert_allclose(case.run.encode(case.rows(1, 8), case.positions(1, past), ours)[0], hidden, **EQUAL)
    head = (
        hidden,
        np.eye(6, dtype=np.float32)[[5, 2, 2]],
        np.array([[0], [0.2], [0.5]], np.float32),
        np.eye(3, dtype=np.float32),
    )
    queries = case.run.retrieve(*head)
    np.testing.assert_allclose(queries, torch_case.run.retrieve(*head), **EQUAL)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-5)
    texts = case.tokenizer.batch([*case.world.queries[:9], "", "x" * 1024])
    ours = case.run.embed_queries(*texts)
    np.testing.assert_allclose(ours, torch_case.run.embed_queries(*texts), **EQUAL)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    upstream = case.world.catalogue.upstream[:11]
    np.testing.assert_allclose(case.run.embed_items(upstream), torch_case.run.embed_items(upstream), **EQUAL)
