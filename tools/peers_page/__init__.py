"""The results of the race against the peers: kept as JSON, shown as a page with a picture."""
