"""Raw video to records: index, perceive, build, check, report."""
