"""Clusters of five related, non-duplicate (image, caption) pairs for stage 1 ([Hu24] §3.2)."""
