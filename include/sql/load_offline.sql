-- The partitions that this run reads, into a database of its own. The run's plan (task `plan`)
-- holds one path pattern a table, in Hadoop's glob syntax.
{% set plan = ti.xcom_pull(task_ids="plan") -%}
{% for table, path in plan.sources.items() -%}
LOAD DATA INFILE '{{ path }}' INTO TABLE {{ table }} OPTIONS(format='parquet', mode='overwrite');
{% endfor -%}
