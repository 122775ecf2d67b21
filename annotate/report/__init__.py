"""The page of a round: how far it is, how far people agree, and what they disagree about most, with pictures."""
