"""Experiments: many trainings on past nights' data from one feature export, and what they say."""
