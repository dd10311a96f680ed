"""docs/model-report.md and its plots, made from the results alone and from the notes that a person wrote about them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..progress import duration
from . import plots, tables
from .claims import claim_text, short_text, verdict_text
from .grid import BASE, QUESTIONS, VARIANTS
from .material import Material, Text, gather, title_of
from .plots import COLOURS, Point
from .results import Line
from .sections import costs_part, question_part, slices_part
from .variant import Question
from .verdict import AGAINST, BEHIND_ONCE, MISSING, NOISE, REPRODUCED, UNSURE, verdict

LIMIT_MINUTES = 4


def write_page(page: Path, lines: Iterable[Line], notes: Path, throughput: Path, settings: dict) -> None:
    """Writes the page, and its plots into a folder of its name beside it. ValueError where notes or throughput are no such."""
    folder = page.with_suffix("")
    made = gather(lines, notes, throughput, folder, settings)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    parts = [
        _head(made),
        _summary(made),
        *(question_part(made, question) for question in QUESTIONS),
        slices_part(made),
        costs_part(made),
    ]
    text = "\n".join(line for part in (*parts, _not_reproduced(made), _repeat(made)) for line in part)
    partial = page.with_suffix(".partial")
    partial.write_text(text.rstrip() + "\n")
    partial.replace(page)


def _head(page: Material) -> Text:
    book = page.book
    base = book.of(BASE)
    trained = [line for line in book.all() if line["variant"] in VARIANTS]
    text = [
        "# What each part of the model is worth", "",
        "<!-- Written by `npm run report`; change training/results/notes.toml or the code instead. -->", "",
        "One change at a time against one base configuration, each run with the same budget, on synthetic worlds whose "
        "truth is known ([training.md](training.md) says what the metrics mean). The runs are small on purpose: they are for "
        "comparing, and their numbers are not those of the release in this repository.", "",
    ]  # fmt: skip
    if not trained:
        return [*text, "**No run has been made yet.**", ""]
    seeds = sorted({line["seed"] for line in trained})
    dates = sorted(line["date"][:10] for line in trained)
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    seconds = [line["seconds"]["total"] for line in trained]
    jobs = sorted({line["jobs"] for line in trained})
    text += [
        f"{len(trained)} runs of {len({line['variant'] for line in trained})} variants, seeds {tables.listed(seeds)} (a seed "
        f"decides the world, the weights and all draws), {when}, on {_machines(trained)}, one thread a run, "
        f"{tables.listed(jobs)} at once: {duration(sum(seconds) / len(seconds))} a run on average, "
        f"{duration(max(seconds))} the longest, {sum(seconds) / 3600:.1f} hours in all.", "",
    ]  # fmt: skip
    if base:
        text += [f"Base: {_base_shape(page.settings)} {base[0]['parameters']:,} parameters.", ""]
    else:
        text += ["The base itself has not been run yet, so that nothing can be compared.", ""]
    missing = [name for name in VARIANTS if not book.seeds(name)]
    if missing:
        text += [f"Not run yet: {', '.join(title_of(name) for name in missing)}.", ""]
    if book.failed:
        text += [f"Failed: {'; '.join(_failure(line) for line in book.failed)}.", ""]
    return text + page.note("general", "introduction")


def _failure(line: Line) -> str:
    return f"{title_of(line['variant'])}, seed {line['seed']} ({line['error']})"


def _machines(lines: Sequence[Line]) -> str:
    told = {f"{line['machine']['cpu']} ({line['machine']['cores']} cores)" for line in lines}
    return tables.listed(sorted(told))


def _base_shape(settings: dict) -> str:
    model, world = settings["model"], settings["world"]
    return (
        f"width {model['width']}, {model['layers']} layers, {model['heads']} heads, window {model['window']}, item "
        f"embeddings of {model['item_dimension']}, {settings['steps']} steps of {settings['batch']} histories with "
        f"{settings['slates']} slates each, {settings['negatives']} random negatives; a world of "
        f"{world['items']:,} items and {world['people']:,} people over {world['days']} days; the later slates of up "
        f"to {settings['evaluation_people']:,} people evaluate, {settings['evaluation_slates']:,} of them retrieval."
    )


def _summary(page: Material) -> Text:
    book, rows, points = page.book, [], []
    for question in QUESTIONS:
        for claim in question.claims:
            found = book.ahead(claim)
            link = f"[{question.title}](#{_anchor(question)})"
            rows.append([link, claim_text(claim), tables.difference(found), verdict_text(book, claim)])
            if found is not None:
                points.append(Point(short_text(claim), found, COLOURS[verdict(found)]))
    text = [
        "## In short", "",
        "Differences are of the side that is said to be ahead minus the other, seed by seed on the same slates; where less "
        "is better the sign is turned, so that above 0 always means as said. In brackets the 95% interval: the wider of "
        "Student's over the seeds and the bootstrap over people; with one seed only the latter, and none where a metric is "
        "taken over all slates together (AUC, ECE, coverage). *Reproduced* and *not reproduced* need several seeds and an "
        "interval on one side of 0; one seed's says nothing of what another run would change, and is told as *ahead* or "
        f"*behind on one seed*; all else is *within noise*. {len(rows)} claims are looked at: of twenty without any truth, one "
        "would leave 0 out by chance.", "",
    ]  # fmt: skip
    if points:
        plots.forest(page.plots / "claims.svg", points, "ahead by (green: reproduced, red: against, grey: neither)")
        text += page.plot("claims", "All claims with their intervals")
    return [*text, *tables.table(("question", "claim", "ahead by", "verdict"), rows), ""]


def _anchor(question: Question) -> str:
    return "".join(letter for letter in question.title.lower().replace(" ", "-") if letter.isalnum() or letter in "-_")


def _not_reproduced(page: Material) -> Text:
    """Every claim that did not come out, with what is known of why."""
    text = ["## What did not reproduce, and why", ""]
    before = len(text)
    for question in QUESTIONS:
        said = [(claim, verdict(page.book.ahead(claim))) for claim in question.claims]
        said = [(claim, outcome) for claim, outcome in said if outcome in (AGAINST, BEHIND_ONCE, NOISE, UNSURE)]
        if not said:
            continue
        why = page.note("why", question.name) or ["No reason has been found yet.", ""]
        text += [
            f"**{question.title.rstrip('?')}.** " + " ".join(f"{claim_text(claim)}: {outcome}." for claim, outcome in said),
            "",
            *why,
        ]
    if len(text) == before:
        done = any(verdict(page.book.ahead(claim)) == REPRODUCED for question in QUESTIONS for claim in question.claims)
        text += ["Of what was run, everything reproduced." if done else "Nothing can be said yet.", ""]
    open_claims = [claim for question in QUESTIONS for claim in question.claims if verdict(page.book.ahead(claim)) == MISSING]
    if open_claims:
        text += ["Not answered yet, for want of runs:", "", *(f"- {claim_text(claim)}" for claim in open_claims), ""]
    return text + page.note("general", "limits")


def _repeat(page: Material) -> Text:
    lines = [line for line in page.book.all() if line["variant"] in VARIANTS]
    text = [
        "## Run it again", "",
        "```sh",
        "npm run report                        # runs what has no result yet, two runs at once, then writes this page",
        "npm run report -- --only base,mask-0  # some variants",
        "npm run report -- --page-only         # this page from the results as they are",
        "```", "",
        "Results: [training/results/grid.jsonl](../training/results/grid.jsonl), one line a run. A killed report goes on where "
        "it was: a run whose configuration, seed and version of the results' schema have a line is not run again.",
    ]  # fmt: skip
    if lines:
        commits = sorted({line["commit"] for line in lines})
        versions = sorted({f"Python {line['machine']['python']}, PyTorch {line['machine']['torch']}" for line in lines})
        plus = " (+: with changes that were not committed)" if any(commit.endswith("+") for commit in commits) else ""
        text += ["", f"Code: {', '.join(commits)}{plus}. {'; '.join(versions)}."]
        slow = [line for line in lines if line["seconds"]["total"] > 60 * LIMIT_MINUTES]
        if slow:
            text += [
                "",
                f"{len(slow)} runs took longer than the {LIMIT_MINUTES} minutes that are meant, the machine being shared.",
            ]
    return text
