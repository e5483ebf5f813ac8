"""Random programs, to hold the verifier against the kernel and against the model machine."""
