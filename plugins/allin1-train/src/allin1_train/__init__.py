"""Trains models for allin1 on composed or annotated music."""
