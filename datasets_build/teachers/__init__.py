"""Who writes the words of a dataset."""
