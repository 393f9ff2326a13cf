"""How lines are found and ranked; knows no ledger, and of a line no more than it is told."""
