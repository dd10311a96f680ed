"""Each part of the model can be left out, and what training computes is then still what the exported graphs compute."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from onepass_training.config import Parts
from onepass_training.evaluation.predict import item_table, predict
from onepass_training.evaluation.scorers import Ask
from onepass_training.evaluation.slates import slate_set
from onepass_training.learn.calibration import Calibration, apply
from onepass_training.learn.train import Trainer
from onepass_training.release.export import export_graphs
from onepass_training.release.reference import GraphRunner
from onepass_training.release.replay import Replay, serve

SERVABLE = [part.name for part in fields(Parts) if part.name not in Parts(context_rows=False, query_tokens=False).not_servable]


def test_two_parts_have_no_release_without_them():
    assert len(SERVABLE) == len(fields(Parts)) - 2


@pytest.mark.parametrize("off", SERVABLE)
def test_graphs_without_a_part_answer_as_training_does(config, dataset, layout, tmp_path, off):
    """Requests with features, texts and related items, of logged slates: through the training pass, and through the graphs."""
    parts = Parts(**dict.fromkeys((part.name for part in fields(Parts)), True) | {off: False})
    config = replace(config, steps=3, batch=4, model=replace(config.model, parts=parts))
    trainer = Trainer(config, dataset, tmp_path)
    trainer.run()
    model = trainer.model.eval()
    with torch.no_grad():  # places, residuals and wants begin at 0: so that what is folded wrongly shows
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    if parts.calibration:
        scale, bias = np.linspace((0.5, -1), (1.5, 1), len(layout.actions), dtype=np.float32).T
        apply(model, Calibration(scale, bias, (True,) * len(scale)))
    slates = slate_set(dataset, dataset.splits.test_ms, dataset.splits.end_ms, 8, config.slate_items)
    expected = predict(model, dataset, config, slates)
    files = export_graphs(model, tmp_path)
    runner, table = GraphRunner(tmp_path, config.model.layers, files), item_table(model, dataset.items.upstream)
    np.testing.assert_allclose(runner.embed_items(dataset.items.upstream), table, rtol=0, atol=1e-3)
    table = table.astype(np.float32)
    replay = Replay(dataset, config, layout, runner, table, texts=True)
    (served,) = serve(replay, [runner], layout, table, slates, (config.model.layers, config.model.width))
    rows, held = np.arange(len(slates)), slates.shown >= 0
    assert len(rows) > 20
    np.testing.assert_allclose(served.predicted[held], expected.probabilities(slates, rows)[held], rtol=0, atol=1e-4)
    for ask in (Ask(), Ask(2, 3_600_000)):
        mine, theirs = served.queries(slates, rows, ask), expected.queries(slates, rows, ask)
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-4)
    asked = [expected.queries(slates, rows, ask) for ask in (Ask(), Ask(2), Ask(offset_ms=3_600_000))]
    for told, part in zip(asked[1:], ("outcome_conditioning", "offsets"), strict=True):
        assert np.array_equal(asked[0], told) == (off == part), "a condition that is left out is not told"
