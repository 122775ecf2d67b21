"""Ways to score remembered frames against a question."""
