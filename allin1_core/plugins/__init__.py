"""Finding plugins, loading them in isolation, and collecting what they provide."""
