"""The migrations: tables, and the genres that every library has."""
