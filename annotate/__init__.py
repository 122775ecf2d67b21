"""Records to rounds of human work in Label Studio, and back as better records that say who changed what."""
