"""What this distribution registers. Importing it loads neither NumPy nor a compiled module."""
