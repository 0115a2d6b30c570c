"""Airflow links of Nightshift."""
