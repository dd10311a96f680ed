"""People whose keys and values lie in pools that device graphs are bound to, as a service has them."""

import json
import math

import numpy as np
import onnxruntime

from onepass_training.release.graph import NUMPY_TO_ONNX

ZEROS, PADDING = 0, 1
"""Pages that belong to nobody."""


class DevicePeople:
    """Sessions over a directory of device graphs, and pools of so many pages, bound in place."""

    def __init__(self, directory, variant="plain", pages=64, sessions=None):
        self.described = json.loads((directory / "device.json").read_text())
        self.dtype = np.dtype(self.described["dtype"])
        self.piece = math.gcd(self.described["width"] // self.described["heads"], 8)
        self.tokens, self.layers, self.width = (self.described[name] for name in ("pageTokens", "layers", "width"))
        self.pools = {
            f"{part}_pool_{layer}": np.zeros((pages * self.tokens, self.width), self.dtype)
            for layer in range(self.layers) for part in ("key", "value")
        }  # fmt: skip
        self.free = list(range(pages - 1, PADDING, -1))
        self.pages, self.lengths = {}, {}
        self._directory, self._variant, self._sessions = directory, variant, {} if sessions is None else sessions

    def session(self, name):
        if (name, self._variant) not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 3
            graphs = self.described["graphs"][name]
            file = graphs if name == "gather" else graphs[self._variant]
            self._sessions[name, self._variant] = onnxruntime.InferenceSession(
                self._directory / file, options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[name, self._variant]

    def run(self, name, inputs, outputs, pools=True):
        """`outputs`: name -> shape, float32. Pools are bound as inputs, and as outputs where the graph writes them."""
        session, held = self.session(name), {}
        binding = session.io_binding()
        for key, value in inputs.items():
            held[key] = np.ascontiguousarray(value, np.int64 if value.dtype.kind == "i" else np.float32)
            _bind(binding.bind_input, key, held[key])
        for key, pool in self.pools.items() if pools else ():
            _bind(binding.bind_input, key, pool)
            if name in ("encode", "prefill"):
                _bind(binding.bind_output, key.replace("pool", "pool_out"), pool.reshape(len(pool), -1, self.piece))
        for key, shape in outputs.items():
            held[key] = np.full(shape, np.nan, self.dtype if key.startswith("gathered") else np.float32)
            _bind(binding.bind_output, key, held[key])
        session.run_with_iobinding(binding)
        return {key: held[key] for key in outputs}

    def room(self, person, tokens):
        """Pages for so many tokens of a person."""
        own = self.pages.setdefault(person, [])
        self.lengths.setdefault(person, 0)
        while len(own) * self.tokens < tokens:
            own.append(self.free.pop())

    def table(self, people, extra=0, rows=0):
        """[b, g] the page table, padded with the page of zeros, with room for so many rows behind everybody's tokens."""
        wanted = max(-(-(self.lengths[person] + rows) // self.tokens) for person in people)
        most = max(1, wanted, *(len(self.pages[person]) for person in people)) + extra
        return np.array([self.pages[person] + [ZEROS] * (most - len(self.pages[person])) for person in people], np.int64)

    def rows_of(self, person):
        """Rows of the pool that hold a person's tokens."""
        return [self.pages[person][t // self.tokens] * self.tokens + t % self.tokens for t in range(self.lengths[person])]

    def encode(self, rows, padding=0, extra=0, filler=0.0, graph="encode"):
        """rows: person -> [m, F]. Appends them, `padding` rows of `filler` behind the longest. Gives person -> hidden [W]."""
        people, most = list(rows), max(len(new) for new in rows.values()) + padding
        counts = np.array([len(rows[person]) for person in people])
        batch = np.full((len(people), most, self.described["columns"]), filler, np.float32)
        targets = np.full((len(people), most), PADDING * self.tokens)
        for index, person in enumerate(people):
            batch[index, : counts[index]] = rows[person]
            self.room(person, self.lengths.get(person, 0) + counts[index])
            for row in range(counts[index]):
                at = self.lengths[person] + row
                targets[index, row] = self.pages[person][at // self.tokens] * self.tokens + at % self.tokens
        inputs = {"rows": batch, "counts": counts, "targets": targets}
        if graph == "encode":
            inputs["lengths"] = np.array([self.lengths[person] for person in people])
            inputs["pages"] = self.table(people, extra, most)
        hidden = self.run(graph, inputs, {"hidden": (len(people), self.width)})["hidden"]
        for person, count in zip(people, counts, strict=True):
            self.lengths[person] += int(count)
        return dict(zip(people, hidden, strict=True))

    def rank(self, people, context, counts, candidates, shared, extra=0):
        """context [b, s, c, F], counts [b, s], candidates [b, s, k, E], shared [b, s, F - E] to [b, s, k, A]."""
        for person in people:
            self.room(person, 1)
        inputs = _request(context, counts, candidates, shared)
        inputs |= {"lengths": np.array([self.lengths[person] for person in people]), "pages": self.table(people, extra)}
        return self.run("rank", inputs, {"probabilities": self._shape(candidates)})["probabilities"]

    def recompute(self, rows, lengths, context, counts, candidates, shared):
        """The same from rows [b, n, F]."""
        inputs = {"rows": rows, "lengths": lengths} | _request(context, counts, candidates, shared)
        return self.run("recompute", inputs, {"probabilities": self._shape(candidates)}, pools=False)["probabilities"]

    def gather(self, people):
        """`gathered_key_0` and so on, [b, g x T, W]."""
        table = self.table(people)
        shape = (len(people), table.shape[1] * self.tokens, self.width)
        names = ["gathered_" + name.replace("_pool", "") for name in self.pools]
        return self.run("gather", {"pages": table}, dict.fromkeys(names, shape))

    def _shape(self, candidates):
        return (*candidates.shape[:3], self.described["actions"])


def _request(context, counts, candidates, shared):
    return {"context": context, "context_counts": np.asarray(counts), "candidates": candidates, "candidate_row": shared}


def _bind(bind, name, array):
    bind(name, "cpu", 0, NUMPY_TO_ONNX[array.dtype], list(array.shape), array.ctypes.data)
