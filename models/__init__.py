"""The packaged streaming model: it watches, remembers, answers and speaks; imports nothing else of the project."""
