"""What is known before the walk: control flow, liveness, and the signatures of functions."""
