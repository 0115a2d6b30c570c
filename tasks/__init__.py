"""What runs in containers (Python 3.10): one package a task, each with its own entry point."""
