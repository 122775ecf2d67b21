"""How many examples a law is tried on: all of them in `make test-all`, some in `make test`."""

import os


def examples(count: int) -> int:
    """`count` in a thorough run, which sets STREAMVL_THOROUGH; else a fifth of them, and five at least."""
    return count if os.environ.get("STREAMVL_THOROUGH") else min(count, max(5, count // 5))
