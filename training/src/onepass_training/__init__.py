"""Training of the one shared causal transformer of Onepass, and the release draft it is served from."""
