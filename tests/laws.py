"""How many examples a law is tried on: all of them in `make test-all`, some in `make test`."""

import os


def examples(count: int) -> int:
    """`count` in a thorough run, which sets STREAMVL_THOROUGH; else a third of them, and six at least."""
    return count if os.environ.get("STREAMVL_THOROUGH") else min(count, max(6, count // 3))
