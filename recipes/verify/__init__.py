"""Preflight: facts about a run, proved on its own first batches before time is spent."""
