"""Data: the starter world, tasks, clusters and the mixture of tasks."""
