"""Records to more records: temporal, interactive and visual augmentation; every label moves through exact time maps."""
