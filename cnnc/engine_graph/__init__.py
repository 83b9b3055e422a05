"""What the engine makes of a graph: what it fuses, and what forces it to convert layouts."""
