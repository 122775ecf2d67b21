"""Ground floor: time, records, tables, configuration, workers and progress; imports nothing else of the project."""
