"""Raw recordings to a prepared set: parsers, tracking, normalisation, protocols. Knows no torch."""
