"""Objective, condition dropout and guidance. Knows nothing of the network."""
