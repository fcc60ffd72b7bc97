"""Measuring the cost of backends, bridges and precisions on this machine, with generated inputs."""
