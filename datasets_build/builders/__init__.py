"""Pure functions from records to records: events, and the three datasets."""
