"""Measuring what backends, bridges and precisions cost on this machine, by generated inputs."""
