"""Frozen evaluation cases: of the starter world, and of real images that lie on disk."""
