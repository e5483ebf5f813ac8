"""What keeps an allocator alive: the policies. Knows flows and events, no memory."""
