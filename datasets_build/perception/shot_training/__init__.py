"""Training of the learned shot detector: pictures, made shots, made transitions between them, and the fit."""
