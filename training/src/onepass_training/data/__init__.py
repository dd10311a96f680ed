"""Logs of every kind as one thing to learn from: items, events and slates, bucket by bucket."""
