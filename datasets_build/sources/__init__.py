"""Corpora, one file each: they yield videos and what is already said about them."""
