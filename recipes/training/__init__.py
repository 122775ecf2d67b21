"""The loop that all stages share: what trains, steps, checkpoints, logs."""
