"""Choosing the way through the stages: gate, cost, route, and the reasons."""
