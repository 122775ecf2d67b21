"""Records and a base model to a trained streaming model, in stages, and the scores that say what each stage bought."""
