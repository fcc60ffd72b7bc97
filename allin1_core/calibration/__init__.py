"""Measurements on this machine, stored with the conditions under which they are valid."""
