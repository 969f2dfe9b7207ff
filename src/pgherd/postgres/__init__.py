"""What only talks to PostgreSQL: addresses, databases, connections, locks, names."""
