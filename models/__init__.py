"""The packaged streaming model; imports nothing else of the project. Holds nothing yet."""
