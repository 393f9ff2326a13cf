"""The four ledgers, what they share, and the ways from one to another; knows nothing of what lines say."""
