"""Benchmarks that asv follows."""
