"""The page's parts that are about one question, about slices and about costs."""

import textwrap
from collections.abc import Sequence

from ..learn.throughput import OURS, PLAIN
from . import plots, tables
from .book import Book
from .claims import claim_text, verdict_text
from .grid import BASE, NO_CALIBRATION, VARIANTS
from .material import Material, Text, title_of
from .metrics import METRICS, SLICED, SLICES, slice_name
from .variant import Question

ACTIONS = ("click", "long_view", "save", "share", "hide")
ECE_AIM = 0.02


def question_part(page: Material, question: Question) -> Text:
    """What was asked, what came out, and what a person says of it."""
    book = page.book
    text = [f"## {question.title}", "", f"{question.says} ({question.source}.)", ""]
    names = [BASE, *(variant.name for variant in question.variants), *question.others]
    rows = [_row(book, name, question.metrics) for name in names]
    head = ["", "seeds", "parameters", *(METRICS[metric].title for metric in question.metrics)]
    text += [*tables.table(head, rows), ""]
    text += [
        f"- {claim_text(claim)}: {tables.difference(book.ahead(claim))}, {verdict_text(book, claim)}."
        for claim in question.claims
    ]
    text += ["", *page.note("findings", question.name)]
    return text + EXTRAS.get(question.name, lambda page: [])(page)


def _row(book: Book, name: str, metrics: Sequence[str]) -> list[str]:
    """The base's levels; others' levels with their differences from it."""
    parameters = book.number(name, "parameters")
    cells = [title_of(name), str(len(book.seeds(name))), tables.MISSING if parameters is None else f"{parameters:,.0f}"]
    for metric in metrics:
        found = book.value(name, metric)
        if found is None or name == BASE:
            cells.append(tables.level(found))
            continue
        apart = book.difference(name, metric)
        cells.append(tables.number(found.mean) + (f"<br>{tables.difference(apart)}" if apart else ""))
    return cells


def _unified(page: Material) -> Text:
    """The two models together, each on its own metric."""
    book, two = page.book, ("retrieval-only", "ranking-only")
    if any(book.value(name, "recall10") is None and book.value(name, "hit3_save") is None for name in (BASE, *two)):
        return ["The comparison with the two models together waits for runs of all three.", ""]
    parameters = [book.number(name, "parameters") or 0 for name in (BASE, *two)]
    rows = [
        ["one model", f"{parameters[0]:,.0f}", tables.level(book.value(BASE, "recall10")),
         tables.level(book.value(BASE, "hit3_save"))],
        ["the two together", f"{sum(parameters[1:]):,.0f}", tables.level(book.value(two[0], "recall10")),
         tables.level(book.value(two[1], "hit3_save"))],
    ]  # fmt: skip
    share = parameters[0] / sum(parameters[1:])
    said = (
        f"One model has {share:.0%} of the parameters of the two together, and one pass serves both uses. Each of the two is "
        "counted whole, with the head that it has no use for."
    )
    return [*tables.table(("", "parameters", "Recall@10", "Hit@3 save"), rows), "", said, ""]


def _baselines(page: Material) -> Text:
    names = [BASE, "sasrec", "cooccurrence", "popularity", "oracle"]
    return _bar_plot(page, "baselines", names, ("recall10", "unordered10"), "recall")


def _bar_plot(page: Material, plot: str, names: Sequence[str], metrics: Sequence[str], axis: str) -> Text:
    held = [name for name in names if page.book.seeds(name)]
    if not held:
        return []
    short = {"oracle": "oracle", "cooccurrence": "co-occurrence"}
    series = {METRICS[metric].title: [page.book.value(name, metric) for name in held] for metric in metrics}
    plots.bars(page.plots / f"{plot}.svg", [short.get(name, name) for name in held], series, axis)
    return page.plot(plot, f"{axis} by ranker")


def _along(page: Material, plot: str, places: dict[str, str], across: str, metric: str) -> Text:
    """A curve along variants; `places`: variant -> its place."""
    held = {place: found for name, place in places.items() if (found := page.book.value(name, metric)) is not None}
    if len(held) < 2:
        return []
    plots.curve(page.plots / f"{plot}.svg", list(held), list(held.values()), across, METRICS[metric].title)
    return page.plot(plot, f"{METRICS[metric].title} by {across}")


def _mam(page: Material) -> Text:
    places = {"mask-0": "0", "mask-.1": ".1", BASE: ".2", "mask-.3": ".3"}
    return _along(page, "masking", places, "p_mask", "hit3_save")


def _size(page: Material) -> Text:
    depth = {"layers-1": "1", BASE: str(page.settings["model"]["layers"]), "layers-4": "4"}
    length = {"window-32": "32", BASE: str(page.settings["model"]["window"])}
    return _along(page, "depth", depth, "layers", "hit3_save") + _along(page, "length", length, "window", "hit3_save")


def _calibration(page: Material) -> Text:
    """Whether each action keeps to the aim, and the reliability plot of the first seed."""
    book, rows = page.book, []
    for action in ACTIONS:
        after, before = (book.summary(name, f"ece.{action}") for name in (BASE, NO_CALIBRATION))
        if after is not None:
            kept = "yes" if max(after.by_seed) <= ECE_AIM else "no"
            rows.append([action, *(tables.level(found) for found in (before, after)), tables.number(max(after.by_seed)), kept])
    if not rows:
        return []
    head = (
        "action",
        "ECE before calibration",
        "ECE after",
        "worst seed",
        f"at most {tables.number(ECE_AIM, 2)} with every seed",
    )
    text = [*tables.table(head, rows), ""]
    bins = book.of(BASE)[0].get("reliability")
    if bins:
        plots.reliability(page.plots / "reliability.svg", bins)
        text += page.plot("reliability", "Share acted on over predictions, by action")
    return text


EXTRAS = {"unified": _unified, "baselines": _baselines, "mam": _mam, "size": _size, "calibration": _calibration}


def slices_part(page: Material) -> Text:
    """The base, the best simple rankers and the oracle, by slice."""
    book = page.book
    if not book.seeds(BASE):
        return []
    text = ["## Who and what it works for", ""]
    for metric in SLICED:
        names = (
            [BASE, "sasrec", "cooccurrence", "popularity", "oracle"] if metric == "recall10" else [BASE, "popularity", "oracle"]
        )
        names = [name for name in names if book.seeds(name)]
        counted = "recallAt10" if metric == "recall10" else "hitAt3/save"
        rows = []
        for group, title in SLICES.items():
            count = book.summary(BASE, f"slates.{counted}.{group}")
            cells = [tables.level(book.value(names[0], slice_name(metric, group)))]
            cells += [_mean(book, name, slice_name(metric, group)) for name in names[1:]]
            rows.append([title, f"{sum(count.by_seed):,.0f}" if count else "0", *cells])
        text += [*tables.table([METRICS[metric].title, "slates, all seeds", *map(title_of, names)], rows), ""]
        series = {title_of(name): [book.value(name, slice_name(metric, group)) for group in SLICES] for name in names}
        groups = ["\n".join(textwrap.wrap(title, 10)) for title in SLICES.values()]
        plots.bars(page.plots / f"slices-{metric.replace('_', '-')}.svg", groups, series, METRICS[metric].title)
        text += page.plot(f"slices-{metric.replace('_', '-')}", f"{METRICS[metric].title} by slice")
    return text + page.note("findings", "slices")


def _mean(book: Book, name: str, metric: str) -> str:
    found = book.value(name, metric)
    return tables.number(None if found is None else found.mean)


def costs_part(page: Material) -> Text:
    """Speed and memory of the runs, and of the throughput command if it was run."""
    book = page.book
    rows = []
    for name in VARIANTS:
        lines = [line for line in book.of(name) if line.get("tokensPerSecond")]
        if lines:
            took = [sum(line["seconds"][part] for line in lines) / len(lines) for part in ("train", "evaluate", "total", "cpu")]
            plain = [book.number(name, "parameters"), book.number(name, "tokensPerSecond"), *took]
            memory = max(line["peakMemoryMib"] for line in lines)
            rows.append([title_of(name), *(f"{value:,.0f}" for value in plain), f"{memory:,}"])
    if not rows and page.throughput is None:
        return []
    text = ["## What it costs", ""]
    if page.throughput is not None:
        text += [
            "Our training step beside a plain PyTorch loop of the same trunk, one sequence for each slate and a dense mask",
            "(`onepass_training throughput`; medians of turns):", "",
        ]  # fmt: skip
        text += [*_throughput(page.throughput), "", *page.note("findings", "throughput")]
    else:
        text += ["The comparison with a plain PyTorch loop of the same trunk has not been measured yet.", ""]
    head = ("run, one thread", "parameters", "tokens/s", "training s", "evaluation s", "in all s", "of CPU s", "peak MiB")
    return [*text, *tables.table(head, rows), ""] if rows else text


def _throughput(found: dict) -> Text:
    """Of the file that `throughput` writes."""
    rows = []
    for shape in found["shapes"]:
        ours, plain, ratio = shape[OURS], shape[PLAIN], shape["ratio"]
        size = shape["shape"]
        named = f"width {size['width']}, {size['layers']} layers, window {size['window']}, {size['slates']} slates"
        speeds = [loop[speed] for speed in ("slatesPerSecond", "tokensPerSecond") for loop in (ours, plain)]
        memory = [f"{loop['peakMib']:,.0f}" for loop in (ours, plain)]
        cells = [*(f"{speed:,.0f}" for speed in speeds), f"{ratio['slatesPerSecond']:.1f}", *memory]
        rows.append([named, str(shape["threads"]), *cells])
    head = (
        "shape",
        "threads",
        "slates/s: ours",
        "plain",
        "tokens/s: ours",
        "plain",
        "slates/s: times",
        "peak MiB: ours",
        "plain",
    )
    machine = found["machine"]
    where = f"{machine['cpu']}, {machine['cores']} cores, {found['date'][:10]}, code {found['commit']}."
    return [*tables.table(head, rows), "", where]
