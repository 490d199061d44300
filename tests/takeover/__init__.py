"""Two managers on one PostgreSQL, of which one waits: the other is killed, stopped and woken under load."""
