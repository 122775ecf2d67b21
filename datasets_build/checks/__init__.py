"""Laws of time and causality, proved on the files that are shipped."""
