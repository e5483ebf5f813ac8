"""What is known at one point of one path, and the layouts of types that it tells of."""
