"""The starter world: real open artwork composed into scenes with exact ground truth."""
