"""A dataset as one self-contained page, or as rows on a terminal."""
