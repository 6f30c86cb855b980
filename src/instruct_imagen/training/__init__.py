"""One loop for every stage: step, loop, checkpoints, sample sheets."""
