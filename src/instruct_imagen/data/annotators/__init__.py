"""Image -> annotation: edges, a sketch, depth, a mask; one file an annotator, found by its name.

The starter world brings exact annotations of its own (`data/world/render.py`); these are for
photographs and other pictures, and follow the same conventions.
"""
