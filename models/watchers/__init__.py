"""The ways in which frames reach the cache, one file each."""
