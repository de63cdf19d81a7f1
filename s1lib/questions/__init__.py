"""Questions: what a row is, where rows come from, and which overlap with a benchmark."""
