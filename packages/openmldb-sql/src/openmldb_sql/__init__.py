"""OpenMLDB's SQL as text: statements, and the syntax tree of a SELECT."""
