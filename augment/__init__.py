"""Records to more records: temporal and interactive augmentation through time maps. Holds nothing yet."""
