"""Modes of speaking: what they are, how they are found, calibrated, switched; knows no session."""
