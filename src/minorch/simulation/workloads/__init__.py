"""What arrives and where it may run: arrivals, generators of them, and nodes. Traces are beside this."""
