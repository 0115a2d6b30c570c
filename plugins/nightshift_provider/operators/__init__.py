"""Airflow operators of Nightshift."""
