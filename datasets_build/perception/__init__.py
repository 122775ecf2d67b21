"""One decode pass per video: shots, signals and keyframes."""
