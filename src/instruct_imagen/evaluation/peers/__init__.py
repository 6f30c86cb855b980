"""What else can be evaluated besides our own pipelines: one file each."""
