"""Code that needs nothing but PostgreSQL: addresses, databases, connections, locks, names."""
