"""Tables of what the kernel offers to programs: helpers, kfuncs, program types, map types."""
