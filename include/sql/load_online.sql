-- One partition (or snapshot) into the online store; run only for what the store does not hold.
LOAD DATA INFILE '{{ params.path }}' INTO TABLE {{ params.table }} OPTIONS(format='parquet', mode='append');
