"""The click-through-rate family: ids in, one probability out."""
