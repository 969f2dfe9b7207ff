"""A library with books of several genres."""
