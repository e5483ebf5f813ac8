"""Memory by kind of pointer, and who owns the objects in it."""
