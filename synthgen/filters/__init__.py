"""Rule checks: what can be told from a candidate's text alone, before it costs engine time."""
