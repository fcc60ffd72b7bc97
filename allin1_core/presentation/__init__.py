"""Presentation of results: pictures, and songs with clicks."""
