"""Where drawings come from: one adapter a source, which finds, reads, names and draws."""
