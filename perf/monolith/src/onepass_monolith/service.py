"""The gateway's contract on top: what is asked is checked, one page at a time is made for a person, answers are filled in."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import grpc
import numpy as np

from .contract import common, event, event_grpc, recommendation, recommendation_grpc
from .histories import NOBODY, NONE, History, Told
from .kv import Entry, KvCache
from .page import Ask, Budget, Page, PageMaker
from .release import Release

PAGE_SIZE, MOST_PAGE_SIZE, CANDIDATES = 20, 100, 200
NOT_WRITTEN = ("page_token", "filters", "external_candidates", "diversity", "release_id")
"""Fields of a request that this system has no code for."""
MODES = (recommendation.MODE_UNSPECIFIED, recommendation.MODE_FULL)


class BadRequest(ValueError):
    """A field of the request is wrong; the sentence begins with its name."""


class Unwritten(ValueError):
    """The request asks for what only the mesh has."""


def person_key(person: common.Person) -> str | None:
    """None of nobody; a visitor and a user of one name are two."""
    kind = person.WhichOneof("id")
    return None if kind is None else f"{kind}/{getattr(person, kind)}"


class Mind:
    """What the process remembers: histories, and, where it may keep it, KV. Only the loop's thread touches it."""

    def __init__(self, release: Release, kv_mib: float | None) -> None:
        """`kv_mib`: None = nothing is kept."""
        self.histories: dict[str, History] = {}
        self.kv = KvCache(release.layers, release.window, release.width, kv_mib) if kv_mib is not None else None
        self._locks: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def entry_of(self, person: str | None) -> AsyncIterator[Entry | None]:
        """The person's KV, for one page at a time. None of nobody and of somebody new, and where none is kept or comes free."""
        if self.kv is None or person is None or person not in self.histories:
            yield None
            return
        async with self._locks.setdefault(person, asyncio.Lock()):
            entry = self.kv.get(person) or self.kv.claim(person)
            if entry is None:
                yield None
                return
            entry.users += 1
            try:
                yield entry
            except Exception:
                # It may be half written. Not so when a call is cancelled: that waits for the page.
                self.kv.drop(person)
                raise
            finally:
                entry.users -= 1

    def forget(self, person: str) -> None:
        """Leaves nothing of a person."""
        self.histories.pop(person, None)
        if self.kv is not None:
            self.kv.drop(person)


class Recommendations(recommendation_grpc.RecommendationServiceServicer):
    """Recommend and Describe."""

    def __init__(self, release: Release, mind: Mind, in_flight: int) -> None:
        self._release, self._mind = release, mind
        self._maker = PageMaker(release)
        self._pool = ThreadPoolExecutor(in_flight, "page")
        self._turns = asyncio.Semaphore(in_flight)
        """Who waits here and gives up has cost nothing; a thread's work cannot be taken back."""
        self._sources: Counter[str] = Counter()

    @property
    def index(self) -> str:
        """How the index was chosen."""
        return self._maker.index.description

    async def Recommend(self, request: recommendation.RecommendRequest, context: grpc.aio.ServicerContext) -> object:
        """One page."""
        try:
            ask = self._check(request)
        except BadRequest as wrong:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(wrong))
        except Unwritten as wrong:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, str(wrong))
        person = person_key(request.person)
        async with self._mind.entry_of(person) as entry, self._turns:
            history = self._mind.histories.get(person or "")
            snapshot = history.snapshot() if history is not None else NOBODY
            # In one piece: hopping between threads for each graph would only cost.
            making = asyncio.get_running_loop().run_in_executor(self._pool, self._maker.make, ask, snapshot, entry)
            page = await _to_its_end(making)
        self._sources[page.kv_source] += 1
        return self._answer(request, ask, page, snapshot.sequence, len(snapshot.seen))

    async def Describe(self, request: common.DescribeRequest, context: grpc.aio.ServicerContext) -> object:
        """What it serves."""
        release = self._release
        model, vocabulary = release.manifest["model"], release.manifest["vocabulary"]
        measurements = {f'onepass.pages{{onepass.kv.source="{name.lower()}"}}': n for name, n in self._sources.items()}
        if self._mind.kv is not None:
            measurements["monolith.kv.entries"] = len(self._mind.kv)
        return common.DescribeResponse(
            role="monolith", release_id=release.id,
            actions=[
                common.Action(name=one["name"], negative=one["negative"], utility_weight=one["utilityWeight"])
                for one in vocabulary["actions"]
            ],
            surfaces=vocabulary["surfaces"], request_features=vocabulary["requestFeatures"],
            limits=common.Limits(
                page_size=MOST_PAGE_SIZE, candidates=model["maxCandidates"], window=model["window"],
                item_dimension=model["itemDimension"], context_rows=model["contextRows"],
            ),
            measurements=measurements, execution_provider="cpu",
        )  # fmt: skip

    def _check(self, request: recommendation.RecommendRequest) -> Ask:
        release = self._release
        for name in NOT_WRITTEN:
            value = getattr(request, name)
            if len(value.windows) if name == "diversity" else value:
                raise Unwritten(f"{name} is not written in this system")
        if request.mode not in MODES:
            raise Unwritten("mode: only full pages are written in this system")
        surface = release.surface_index.get(request.surface)
        if surface is None:
            raise BadRequest(f"surface: {request.surface!r} is not one of {', '.join(release.surface_index)}")
        size, candidates = request.page_size or PAGE_SIZE, request.candidates or min(CANDIDATES, release.most_candidates)
        for field, value, most in (("page_size", size, MOST_PAGE_SIZE), ("candidates", candidates, release.most_candidates)):
            if not 1 <= value <= most:
                raise BadRequest(f"{field}: must be from 1 to {most}, got {value}")
        text = request.search.text if request.WhichOneof("context") == "search" else ""
        if request.search.HasField("embedding"):
            raise Unwritten("search.embedding is not written in this system")
        return Ask(
            surface=surface, now_ms=request.as_of_ms or time.time_ns() // 1_000_000, page_size=size, candidates=candidates,
            budgets=self._budgets(request), weights=self._weights(request), excluded=self._known(request.excluded_item_ids),
            related=self._related(request), text=text if release.knows_text(text) else "", features=dict(request.features),
        )  # fmt: skip

    def _budgets(self, request: recommendation.RecommendRequest) -> list[Budget]:
        budgets = [Budget(one.outcome, one.share, one.offset_ms) for one in request.outcome_budgets] or [
            Budget(one["outcome"], one["share"], one.get("offsetMs", 0))
            for one in self._release.manifest["budgets"][request.surface]
        ]
        unknown = next((one.outcome for one in budgets if one.outcome not in self._release.outcome_index), None)
        if unknown is not None:
            raise BadRequest(f"outcome_budgets: {unknown!r} is not an outcome of the release")
        whole = sum(one.share for one in budgets)
        if not 0 < whole < np.inf or any(one.share < 0 for one in budgets):
            raise BadRequest("outcome_budgets: shares must not be negative and must sum to more than 0")
        return [Budget(one.outcome, one.share / whole, one.offset_ms) for one in budgets if one.share > 0]

    def _weights(self, request: recommendation.RecommendRequest) -> np.ndarray:
        weights = self._release.utility_weights.copy()
        for name, weight in request.utility_weights.items():
            if name not in self._release.actions:
                raise BadRequest(f"utility_weights[{name!r}]: is not an action of the release")
            weights[self._release.actions.index(name)] = weight
        return weights

    def _related(self, request: recommendation.RecommendRequest) -> list[int]:
        related = self._known(request.related.item_ids)
        if len(related) != len(request.related.item_ids) or len(related) > self._release.context_rows:
            raise BadRequest(f"related.item_ids: must be at most {self._release.context_rows} items of the release")
        return related

    def _known(self, ids: Iterable[str]) -> list[int]:
        rows = (self._release.row_of.get(item) for item in ids)
        return [row for row in rows if row is not None]

    def _answer(
        self, request: recommendation.RecommendRequest, ask: Ask, page: Page, sequence: int, seen: int
    ) -> recommendation.RecommendResponse:
        scores = request.view != recommendation.VIEW_BASIC
        utilities, probabilities, ids = page.utilities.tolist(), page.probabilities.tolist(), self._release.ids
        response = recommendation.RecommendResponse(
            slate_id=uuid.uuid4().hex, request_id=request.request_id or uuid.uuid4().hex, release_id=self._release.id,
            history_sequence=sequence, coverage=common.Coverage(shards_total=1, shards_answered=1),
            kv_source=common.KvSource.Value(f"KV_SOURCE_{page.kv_source}"),
            stages=[common.StageTiming(stage=stage, micros=micros) for stage, micros in page.micros.items()],
            actions=self._release.actions if scores else (),
        )  # fmt: skip
        for position, row in enumerate(page.rows.tolist()):
            item = response.items.add(item_id=ids[row], position=position, utility=utilities[position])
            if scores:
                outcome, rank, score = page.sources[position]
                item.probabilities.extend(probabilities[position])
                item.sources.add(name="retrieval", outcome=outcome, rank=rank, score=score)
        if request.view == recommendation.VIEW_EXPLAIN:
            response.explanation.CopyFrom(self._explanation(ask, page, seen))
        return response

    def _explanation(self, ask: Ask, page: Page, seen: int) -> recommendation.Explanation:
        return recommendation.Explanation(
            retrieved=page.ranked, ranked=page.ranked, seen_items=seen, kv_tokens=page.kv_tokens,
            utility_weights=dict(zip(self._release.actions, ask.weights.tolist(), strict=True)),
            outcome_budgets=[
                common.OutcomeBudget(outcome=one.outcome, share=one.share, offset_ms=one.offset_ms) for one in ask.budgets
            ],
        )  # fmt: skip


class Events(event_grpc.EventServiceServicer):
    """LogActions and ForgetPerson, in memory: what is acknowledged is gone with the process."""

    def __init__(self, release: Release, mind: Mind) -> None:
        self._release, self._mind = release, mind

    async def LogActions(self, request: event.LogActionsRequest, context: grpc.aio.ServicerContext) -> object:
        """Appends to the person's history."""
        person = person_key(request.person)
        if person is None or not 1 <= len(request.events) <= 1_000:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "person must be named, with 1 to 1000 events")
        history = self._mind.histories.setdefault(person, History())
        results = [self._write(history, one) for one in request.events]
        return event.LogActionsResponse(results=results, history_sequence=history.sequence)

    def _write(self, history: History, told: event.ActionEvent) -> event.EventResult:
        release, retract = self._release, told.operation == event.OPERATION_RETRACT
        surface = release.surface_index.get(told.surface, NONE)
        if surface == NONE and not retract:
            reason = f"surface: {told.surface!r} is not one of {', '.join(release.surface_index)}"
            return event.EventResult(event_id=told.event_id, status=event.EventResult.STATUS_REFUSED, reason=reason)
        # A text without a token makes no row: as an event of nothing it is kept for its sequence alone.
        text = told.query_text if told.query_text and release.knows_text(told.query_text) else None
        item = release.row_of.get(told.item_id, NONE)
        bits = 0 if told.query_text else sum({release.action_bit.get(name, 0) for name in told.actions})
        written = history.write(Told(told.event_id, item, text, bits, surface, told.time_ms, retract))
        if written.refused:
            return event.EventResult(event_id=told.event_id, status=event.EventResult.STATUS_REFUSED, reason=written.refused)
        pending = not retract and told.item_id and item == NONE
        status = (
            event.EventResult.STATUS_DUPLICATE if written.duplicate
            else event.EventResult.STATUS_PENDING_ITEM if pending
            else event.EventResult.STATUS_ACCEPTED
        )  # fmt: skip
        return event.EventResult(event_id=told.event_id, status=status, sequence=written.sequence)

    async def ForgetPerson(self, request: event.ForgetPersonRequest, context: grpc.aio.ServicerContext) -> object:
        """Leaves nothing of the person."""
        self._mind.forget(person_key(request.person) or "")
        return event.ForgetPersonResponse()


async def _to_its_end(work: asyncio.Future[Page]) -> Page:
    """A thread cannot be stopped: whoever gives up waits for it first, so that nobody writes to what it writes to."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        failure = work.exception()
        if failure is not None:
            raise failure from None
        raise
