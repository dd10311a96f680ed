"""One module a command: `add` declares its arguments, `run` does it. New ones are named in COMMANDS of __main__.py."""
