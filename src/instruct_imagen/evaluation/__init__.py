"""Cases and judges. Sees a model only through the pipeline's call."""
