"""One real Label Studio for the tests of annotation that ask for it."""

from tests.annotate.servers import servers

__all__ = ["servers"]
