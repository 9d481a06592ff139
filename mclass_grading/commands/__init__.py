"""The commands that this package adds to ``mclass``, which finds them by the entry points in pyproject.toml."""
