"""Side-by-side measurements: ours and a peer on the same work, alternating, JSON out."""
