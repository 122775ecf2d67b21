"""Scores: records replayed as a live stream through the packaged model, beside baselines that see nothing."""
