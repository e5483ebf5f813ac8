"""What all paths of one walk share, where paths meet, and which values they rely on."""
