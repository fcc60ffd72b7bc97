"""New plugins, written as complete distributions from templates."""
