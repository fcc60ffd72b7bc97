"""Running the stages: a session that keeps its backends, the pipeline, and batches of tracks."""
