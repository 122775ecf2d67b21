"""Records and a base model to a trained streaming model, in stages. Holds nothing yet."""
