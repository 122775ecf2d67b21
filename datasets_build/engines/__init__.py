"""Where a function runs over many videos: worker processes of this machine, or a Ray cluster."""
