"""Choosing the route through the stages: eligibility, cost, route, and the reasons."""
