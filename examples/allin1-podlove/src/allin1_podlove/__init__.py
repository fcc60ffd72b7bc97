"""Sections of songs as Podlove Simple Chapters."""
