"""What is stored: one module a kind of record, on SQLite or PostgreSQL, and the blobs beside it."""
