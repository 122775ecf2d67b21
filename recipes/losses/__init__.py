"""Losses as pure functions: answers, decisions, latency, temporal consistency, interaction quality."""
