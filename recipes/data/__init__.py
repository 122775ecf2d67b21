"""Records to batches: examples as blocks, frames at exact times, vision features kept by content, packing."""
