"""The two Python environments of the laptop profile, made once and kept up to date."""
