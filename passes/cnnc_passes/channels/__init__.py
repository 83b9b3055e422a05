"""Which channels of which values go together, what they hold, and nodes without them. Shared by the prune laws."""
