"""What scores images: one file a judge, found by `judges.registry`."""
