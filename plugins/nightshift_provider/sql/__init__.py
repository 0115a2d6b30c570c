"""OpenMLDB's API server as a Python database: DB-API 2.0, SQLAlchemy, Airflow's common.sql."""
