"""An example of a plugin for allin1."""
