"""Results as a page to look at, listen to and correct in a browser."""
