"""Which values a tensor can take: intervals per channel, followed through a graph, rounded outward."""
