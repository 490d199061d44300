"""The manager's memory: records, tables with their indices, the waiting queue, the event log."""
