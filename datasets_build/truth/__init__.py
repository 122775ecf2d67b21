"""What the events of a video give as an answer, and in which words: checks hold data to it, augmentation follows it."""
