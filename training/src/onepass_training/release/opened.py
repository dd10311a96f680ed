"""A release or draft on disk, opened to be run on logs: its graphs that serve, its item table, its manifest."""

import gzip
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ..config import ModelConfig, TrainConfig
from ..data.dataset import Action, Bucket, Dataset, Vocabulary
from ..evaluation.scorers import Contender
from ..evaluation.slates import SlateSet
from ..model.rows import FLOAT, RowLayout
from ..model.tokenizer import Tokenizer
from .laws import Material
from .material import sample_material
from .reference import GraphRunner
from .replay import Replay, serve

MANIFESTS = ("manifest.json", "manifest.draft.json")
FORMAT = 1


class SeenBy(Dataset):
    """A dataset with the request features that a release declares: others left out, missing ones never given."""

    def __init__(self, dataset: Dataset, features: tuple[str, ...]) -> None:
        self.name, self.items, self.splits, self.buckets = dataset.name, dataset.items, dataset.splits, dataset.buckets
        self.vocabulary = replace(dataset.vocabulary, features=features)
        self._dataset = dataset
        have = dataset.vocabulary.features
        self._columns = np.array([have.index(name) if name in have else len(have) for name in features], np.int64)

    def bucket(self, index: int) -> Bucket:
        """One bucket, from 0."""
        bucket = self._dataset.bucket(index)
        unknown = np.full((len(bucket.slate_features), 1), np.nan, np.float32)
        columns = np.concatenate([bucket.slate_features, unknown], axis=1)[:, self._columns]
        return replace(bucket, slate_features=columns)


@dataclass(frozen=True)
class OpenedRelease:
    """What a directory holds."""

    directory: Path
    manifest: dict

    @classmethod
    def open(cls, directory: Path) -> "OpenedRelease":
        """FileNotFoundError or ValueError in a sentence if `directory` holds no release of this format."""
        path = next((directory / name for name in MANIFESTS if (directory / name).is_file()), None)
        if path is None:
            raise FileNotFoundError(f"{directory} is no release: it has neither {' nor '.join(MANIFESTS)}")
        try:
            manifest = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}") from error
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise ValueError(f"{path}: format must be {FORMAT}, the one this version reads")
        opened = cls(directory, manifest)
        try:
            opened.check()
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is incomplete: {error} is missing or of the wrong kind") from error
        return opened

    def check(self) -> None:
        """Touches all that is used later, so that what is missing is told at once."""
        _ = self.vocabulary, self.layout, self.config, self.tokenizer, len(self.table), len(self.ids), self.runner

    @property
    def name(self) -> str:
        """Its id, or a draft's name."""
        return str(self.manifest.get("id", self.manifest["name"]))

    @property
    def precision(self) -> str:
        """Of the graphs that serve."""
        return str(self.manifest["model"]["precision"])

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """As the manifest has it."""
        told = self.manifest["vocabulary"]
        actions = tuple(Action(one["name"], one["negative"], one["utilityWeight"]) for one in told["actions"])
        return Vocabulary(actions, tuple(told["surfaces"]), tuple(told["requestFeatures"]))

    @cached_property
    def layout(self) -> RowLayout:
        """Of its rows."""
        tokens, vocabulary = self.manifest["tokens"], self.vocabulary
        return RowLayout(
            embedding=self.manifest["model"]["itemDimension"], actions=vocabulary.names, surfaces=vocabulary.surfaces,
            periods_ms=tuple(tokens["dailyPeriodsMs"]), delta_scale=tokens["deltaScale"], request_features=vocabulary.features,
        )  # fmt: skip

    @cached_property
    def config(self) -> TrainConfig:
        """What cutting examples needs to know of it; the rest is the default."""
        model, tokenizer = self.manifest["model"], self.manifest.get("queryTokenizer", {})
        shape = ModelConfig(
            width=model["width"], layers=model["layers"], heads=model["heads"], window=model["window"],
            item_dimension=model["itemDimension"], upstream=model["upstreamDimension"],
            query_buckets=tokenizer.get("buckets", ModelConfig.query_buckets),
        )  # fmt: skip
        return replace(TrainConfig(), name=self.manifest["name"], world=None, model=shape)

    @cached_property
    def tokenizer(self) -> Tokenizer | None:
        """None if it takes no text. ValueError if it is not the one that training has."""
        told = self.manifest.get("queryTokenizer")
        if told is None:
            return None
        known = Tokenizer(buckets=told["buckets"])
        if known.as_json() != told:
            raise ValueError(f"{self.directory}: this version cuts texts by another tokenizer than {told}")
        return known

    @cached_property
    def table(self) -> FLOAT:
        """[N, E] the item table, widened."""
        raw = np.fromfile(self.directory / self.manifest["items"]["table"], "<f2")
        return raw.reshape(self.manifest["items"]["count"], -1).astype(np.float32)

    @cached_property
    def ids(self) -> list[str]:
        """[N]"""
        with gzip.open(self.directory / self.manifest["items"]["metadata"], "rt") as lines:
            return [json.loads(line)["id"] for line in lines]

    @cached_property
    def runner(self) -> GraphRunner:
        """Its graphs that serve."""
        return GraphRunner(self.directory, self.manifest["model"]["layers"], self.manifest["graphs"])

    @property
    def training(self) -> dict:
        """The manifest's section of that name; empty in a release from before there was one."""
        return self.manifest.get("training", {})

    def part(self, name: str) -> bool:
        """Whether a part of the model is on (config.Parts)."""
        return bool(self.training.get("config", {}).get("model", {}).get("parts", {}).get(name, True))

    def table_for(self, dataset: Dataset) -> FLOAT:
        """[N, E] the table in the order of the dataset's items. ValueError if they are not the same items."""
        if self.ids == list(dataset.items.ids):
            return self.table
        row_of = {item: row for row, item in enumerate(self.ids)}
        missing = [item for item in dataset.items.ids if item not in row_of]
        if missing or len(row_of) != len(dataset.items):
            raise ValueError(
                f"{self.name} has {len(row_of)} items and the data {len(dataset.items)}, "
                f"{len(missing)} of which it does not know{f' (such as {missing[0]!r})' if missing else ''}: "
                "recall among different items cannot be compared"
            )
        return self.table[[row_of[item] for item in dataset.items.ids]]

    def check_fits(self, dataset: Dataset) -> None:
        """ValueError if its answers for the dataset's slates mean nothing."""
        vocabulary, upstream = self.vocabulary, dataset.items.upstream.shape[1]
        for what, mine, theirs in (
            ("actions", vocabulary.names, dataset.vocabulary.names),
            ("surfaces", vocabulary.surfaces, dataset.vocabulary.surfaces),
        ):
            if mine != theirs:
                raise ValueError(f"{self.name} knows the {what} {', '.join(mine)}, the data {', '.join(theirs)}: no comparison")
        if self.config.model.upstream != upstream:
            raise ValueError(
                f"{self.name} reads item embeddings of {self.config.model.upstream} numbers, the data has {upstream}"
            )

    def contender(self, dataset: Dataset, slates: SlateSet) -> tuple[Contender, Material]:
        """Its answers for the slates, and what its graphs can be timed on. ValueError if it does not fit the dataset."""
        self.check_fits(dataset)
        seen, table, shape = SeenBy(dataset, self.vocabulary.features), self.table_for(dataset), self.config.model
        config = replace(self.config, slate_items=slates.items.shape[1])
        replay = Replay(seen, config, self.layout, self.runner, table, self.tokenizer is not None)
        (served,) = serve(replay, (self.runner,), self.layout, table, slates, (shape.layers, shape.width))
        contender = Contender(served, served, table, self.part("outcome_conditioning"), self.part("offsets"))
        return contender, sample_material(seen, config, self.layout, table, replay, self.tokenizer)
