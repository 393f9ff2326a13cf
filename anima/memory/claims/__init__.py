"""What lines claim, and what becomes of a thing that is said; writes nothing."""
