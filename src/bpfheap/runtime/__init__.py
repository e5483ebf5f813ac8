"""Objects, references, descriptors, pins, grace periods. Knows no memory layout."""
