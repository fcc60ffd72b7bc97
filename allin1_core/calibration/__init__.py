"""Measuring backends on this machine, checking what they promise, and remembering both."""
