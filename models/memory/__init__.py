"""Policies that decide which remembered chunks of an endless stream stay in the cache."""
