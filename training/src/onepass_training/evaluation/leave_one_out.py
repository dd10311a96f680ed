"""The protocol of the sequential-recommendation papers, so that outside data sets compare.

HR@10 and NDCG@10 of each person's last engaged item, under three sets of rivals:
- full: the whole catalogue without what the person had acted on (Krichene and Rendle, KDD 2020, say why nothing less will do);
- uniform: 100 of it drawn evenly, as SASRec (arXiv 1808.09781) has it;
- popular: 100 of it drawn by popularity, as BERT4Rec (arXiv 1904.06690) has it.
"""

from dataclasses import replace

import numpy as np

from ..config import TrainConfig
from ..data.dataset import NONE
from ..model.onepass_model import OnepassModel
from .held_out import LeaveOneOut, log_shares
from .metrics import FLOAT, INT, ranks
from .predict import predict
from .result import Result
from .scorers import ANY, CHUNK, Contender, take_out_seen
from .slates import SlateSet, slate_set
from .slices import ALL, mean_by

AT, NEGATIVES = 10, 100
RIVALS = ("full", "uniform", "popular")
ALWAYS = 1 << 62
"""Milliseconds."""


class LeaveOneOutEvaluation:
    """The held-out events of a sample of people; the same ones, with the same rivals, for every contender.

    An item that the person had acted on before cannot be asked for: such a person does not count.
    """

    def __init__(self, view: LeaveOneOut, config: TrainConfig, test: bool = True) -> None:
        """`view` is what the contenders were trained on; `test`: the last events, else those before them."""
        self.view, self.config = view, config
        self.questions = view.held_out(test)
        slates = slate_set(self.questions, -ALWAYS, ALWAYS, config.evaluation_people, 1)
        self.slates: SlateSet = slates.take(np.flatnonzero(slates.target != NONE))
        self._popularity = log_shares(view.training_counts(view.vocabulary.positive_bits).sum(axis=0))

    def run(self, model: OnepassModel, name: str = "model", config: TrainConfig | None = None) -> Result:
        """Of a model that was trained with `config` on the view: outcome any, offset 0, the event's surface and time."""
        used = replace(config or self.config, slate_items=1)
        return self.of(name, predict(model, self.questions, used, self.slates).contender())

    def of(self, name: str, contender: Contender) -> Result:
        """Metrics by person: `full/hrAt10`, `full/ndcgAt10` and the same under the other rivals. ValueError for a contender
        that does not retrieve."""
        if contender.retriever is None:
            raise ValueError(f"{name} does not retrieve")
        places = {rivals: np.zeros(len(self.slates), np.int64) for rivals in RIVALS}
        for start in range(0, len(self.slates), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(self.slates)))
            scores = take_out_seen(contender.retriever.scores(self.slates, rows, ANY), self.slates, rows)
            target = self.slates.target[rows]
            places["full"][rows] = ranks(scores, target)
            for at, weights in enumerate((np.zeros_like(self._popularity), self._popularity)):
                rivals = self._rivals(rows, weights, np.random.default_rng([71, at, start]))
                places[RIVALS[1 + at]][rows] = places_among(scores, target, rivals)
        values = {}
        for rivals, place in places.items():
            values[f"{rivals}/hrAt{AT}"] = (place < AT).astype(np.float64)
            values[f"{rivals}/ndcgAt{AT}"] = np.where(place < AT, 1 / np.log2(place + 2.0), 0.0)
        groups = {ALL: np.ones(len(self.slates), bool)}
        summary: dict = {"people": len(self.slates), "negatives": NEGATIVES}
        for metric, found in values.items():
            rivals, of = metric.split("/")
            summary.setdefault(rivals, {})[of] = mean_by(found, groups)[ALL]
        return Result(name, summary, self.slates.key, self.slates.person, values, groups)

    def _rivals(self, rows: INT, log_weights: FLOAT, random: np.random.Generator) -> INT:
        """[r, NEGATIVES] items drawn without repeats in proportion to exp(log_weights) [N], neither acted on before nor the
        target (by Gumbel keys: Vieira, 2014); NONE where fewer are left."""
        keys = log_weights + random.gumbel(size=(len(rows), len(log_weights)))
        keys = take_out_seen(keys, self.slates, rows)
        keys[np.arange(len(rows)), self.slates.target[rows]] = -np.inf
        count = min(NEGATIVES, keys.shape[1])
        drawn = np.argpartition(-keys, count - 1, axis=1)[:, :count]
        return np.where(np.take_along_axis(keys, drawn, axis=1) > -np.inf, drawn, NONE)


def places_among(scores: FLOAT, target: INT, rivals: INT) -> INT:
    """[r] place of `target` [r] among `rivals` [r, n] by scores [r, N], from 0; ties go to the lower item row."""
    own = np.take_along_axis(scores, target[:, None], axis=1)
    theirs = np.take_along_axis(scores, np.maximum(rivals, 0), axis=1)
    ahead = (theirs > own) | ((theirs == own) & (rivals < target[:, None]))
    return (ahead & (rivals != NONE)).sum(axis=1)
