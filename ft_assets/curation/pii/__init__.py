"""Personal data and secrets in text: who finds them, and what has to be there before anyone looks."""
