"""Is one program safe, and which flows does it have? Knows no other program and no policy."""
