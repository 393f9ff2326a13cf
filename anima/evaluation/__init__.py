"""The evidence: measures, arms, statistics and texts behind `anima eval`; shows nothing itself."""
