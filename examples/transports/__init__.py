"""Three ways to carry messages between a manager and its workers; docs/howto/embedding.md tells of them."""
