"""A directory of device graphs: the graphs, their weights, and device.json, which says what they are."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ..release.whole import whole
from .build import build_encode, build_gather, build_prefill, build_rank, build_recompute
from .fused import ATTENTION, GQA, MHA
from .paged import NAME as PAGED
from .paged import build_paged_encode, require_paged
from .plain import PLAIN
from .sizes import Sizes, State
from .variant import GRAPHS, Variant
from .weights import WEIGHTS, DeviceWeights

DESCRIPTION = "device.json"
FORMAT = 1
PAGE_TOKENS, MOST_PAGE_TOKENS = 16, 1024
VARIANTS: dict[str, Variant] = {variant.name: variant for variant in (PLAIN, MHA, ATTENTION, GQA)}
_BUILDERS = {"encode": build_encode, "prefill": build_prefill, "rank": build_rank, "recompute": build_recompute}


@dataclass(frozen=True)
class Options:
    """What of the graphs is chosen. ValueError in a sentence where it cannot be."""

    dtype: str = "float32"
    """Of weights, KV and the stream: float32 or float16."""
    attention: tuple[str, ...] = tuple(VARIANTS)
    """Ways to compute it, and "paged", which is of CUDA alone."""
    page_tokens: int = PAGE_TOKENS
    """T, tokens of a page."""
    release_id: str | None = None
    """Of the release whose weights they are."""

    def __post_init__(self) -> None:
        known = (*VARIANTS, PAGED)
        unknown = [name for name in self.attention if name not in known]
        if unknown or not self.attention:
            raise ValueError(f"--attention takes {', '.join(known)}, not {', '.join(unknown) or 'nothing'}")
        if not 1 <= self.page_tokens <= MOST_PAGE_TOKENS:
            raise ValueError(f"--page-tokens must be from 1 to {MOST_PAGE_TOKENS}, not {self.page_tokens}")


def write_device_graphs(state: State, sizes: Sizes, directory: Path, options: Options = Options()) -> dict:
    """Writes all graphs into `directory`, in place of device graphs that are there, and gives what device.json says.

    All is written under another name and put in place at the end. FileExistsError if something else is in `directory`.
    """
    weights = DeviceWeights(state, sizes, options.dtype)
    names = dict.fromkeys(options.attention)
    if PAGED in names:
        require_paged(sizes, options.dtype, options.page_tokens)
    variants = [VARIANTS[name] for name in names if name != PAGED]
    with whole(directory, (DESCRIPTION,), "device graphs") as out:
        graphs: dict = {name: {} for name in GRAPHS} | {"gather": "gather.onnx"}
        for variant in variants:
            for name in variant.graphs:
                graphs[name][variant.name] = file = f"{name}.{variant.name}.onnx"
                _BUILDERS[name](weights, variant, options.page_tokens).write(out / file)
        if PAGED in names:
            graphs["encode"][PAGED] = file = f"encode.{PAGED}.onnx"
            build_paged_encode(weights, options.page_tokens).write(out / file)
        build_gather(weights, options.page_tokens).write(out / graphs["gather"])
        weights.write(out)
        described = _description(sizes, options, graphs) | {"files": _checksums(out)}
        (out / DESCRIPTION).write_text(json.dumps(described, indent=2) + "\n")
    return described


def _checksums(directory: Path) -> dict[str, str]:
    """name -> SHA-256 of every file, in hexadecimal."""
    digests = {}
    for path in sorted(directory.iterdir()):
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _description(sizes: Sizes, options: Options, graphs: dict) -> dict:
    return {
        "formatVersion": FORMAT, "releaseId": options.release_id, "dtype": options.dtype, "pageTokens": options.page_tokens,
        "layers": sizes.layers, "width": sizes.width, "heads": sizes.heads, "columns": sizes.columns,
        "embedding": sizes.embedding, "actions": sizes.actions, "window": sizes.window, "contextRows": sizes.context_rows,
        "graphs": graphs, "weights": WEIGHTS,
    }  # fmt: skip
