"""Records in the files of other programs, and back: each format in a file of its own, each with what it cannot hold."""
