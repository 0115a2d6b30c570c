"""Airflow triggers of Nightshift."""
