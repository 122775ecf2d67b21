"""Implementations of the video interface, one file each, all held to one test suite."""
