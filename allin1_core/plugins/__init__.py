"""Finding plugins, loading each alone, and collecting what they offer."""
