"""What is known before the walk: control flow, loops, liveness, and the signatures of functions."""
