"""Examples as files: tar shards in WebDataset's layout, built, read and checked."""
