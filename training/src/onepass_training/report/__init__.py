"""The comparison of the model's parts: what is compared (grid), how it is run (runner, run), kept (results) and told (page)."""
