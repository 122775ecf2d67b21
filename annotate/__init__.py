"""Records to rounds of human work in Label Studio and back. Holds nothing yet."""
