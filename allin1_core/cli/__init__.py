"""The command line. One file a command; each loads what it needs only when it runs."""
