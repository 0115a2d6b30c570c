"""Airflow hooks of Nightshift."""
