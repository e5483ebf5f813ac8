"""Memory and execution. Knows no policies."""
