"""Batched graphs for a device that keeps everybody's keys and values in its memory (docs/device-graphs.md)."""
