"""Feature rows become the model's input: ids, split by day, with a card that says what is in it."""
