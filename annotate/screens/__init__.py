"""The labelling screens: a configuration each, what is sent for an item, and what comes back as somebody's work."""
