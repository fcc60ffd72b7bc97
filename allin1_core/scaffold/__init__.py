"""New plugins, as complete distributions made from templates."""
