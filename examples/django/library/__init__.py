"""A library: its books, and what it answers to requests."""
