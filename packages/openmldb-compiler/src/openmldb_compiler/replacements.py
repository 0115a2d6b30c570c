"""What to write for functions that OpenMLDB 0.9.2 does not have."""

from __future__ import annotations

_TRIM = "replace(x, ' ', '') where inner blanks do not matter, or trim the data at load"

REPLACEMENTS = {
    # removed from OpenMLDB in March 2023
    "fz_join": "`join`(list, separator), in backquotes since JOIN is a keyword",
    "fz_split": "split(text, separator)",
    "fz_split_by_key": "split_by_key(text, separator, inner)",
    "fz_split_by_value": "split_by_value(text, separator, inner)",
    "fz_top1_ratio": "top1_ratio(x)",
    "fz_topn_frequency": "topn_frequency(x, n)",
    "fz_window_split": "window_split(x, separator)",
    "fz_window_split_by_key": "window_split_by_key(x, separator, inner)",
    "fz_window_split_by_value": "window_split_by_value(x, separator, inner)",
    # of other databases: NULL and conditions
    "coalesce": "ifnull(a, b); for three, ifnull(a, ifnull(b, c))",
    "if": "CASE WHEN condition THEN a ELSE b END",
    "iff": "CASE WHEN condition THEN a ELSE b END",
    "isnotnull": "NOT isnull(x)",
    "nullif": "CASE WHEN a = b THEN NULL ELSE a END",
    "decode": "CASE x WHEN a THEN b ELSE c END",
    # text
    "btrim": _TRIM,
    "contains": "locate(part, x) > 0",
    "endswith": "x LIKE '%part'",
    "ends_with": "x LIKE '%part'",
    "instr": "locate(part, x)",
    "left": "substr(x, 1, n)",
    "len": "char_length(x)",
    "length": "char_length(x)",
    "lstrip": _TRIM,
    "ltrim": _TRIM,
    "mid": "substr(x, position, n)",
    "position": "locate(part, x)",
    "regexp": "regexp_like(x, pattern)",
    "right": "substr(x, -n)",
    "rstrip": _TRIM,
    "rtrim": _TRIM,
    "starts_with": "x LIKE 'part%'",
    "startswith": "x LIKE 'part%'",
    "strpos": "locate(part, x)",
    "to_char": "date_format(x, pattern), or string(x)",
    "trim": _TRIM,
    # numbers
    "greatest": "maximum(a, b), or CASE WHEN a > b THEN a ELSE b END",
    "least": "minimum(a, b), or CASE WHEN a < b THEN a ELSE b END",
    "mod": "a % b",
    "sign": "CASE WHEN x > 0 THEN 1 WHEN x < 0 THEN -1 ELSE 0 END",
    "trunc": "truncate(x)",
    # times
    "date_add": "timestamp(bigint(x) + milliseconds); add_months(d, n) for months of a DATE",
    "date_sub": "timestamp(bigint(x) - milliseconds); add_months(d, -n) for months of a DATE",
    "date_trunc": "date(x) for days; else year(x), month(x), ...",
    "dow": "dayofweek(x)",
    "from_unixtime": "timestamp(seconds * 1000)",
    "current_timestamp": "a column of the request: a feature must not depend on when it is asked",
    "now": "a column of the request: a feature must not depend on when it is asked",
    "to_date": "date(x)",
    "to_timestamp": "timestamp(x)",
    "unix_millis": "bigint(x)",
    # aggregates
    "any_value": "first_value(x)",
    "approx_count_distinct": "distinct_count(x)",
    "approx_distinct": "distinct_count(x)",
    "bool_or": "max(CASE WHEN condition THEN 1 ELSE 0 END)",
    "bool_and": "min(CASE WHEN condition THEN 1 ELSE 0 END)",
    "count_if": "count_where(x, condition)",
    "countif": "count_where(x, condition)",
    "first": "first_value(x)",
    "last": "last_value(x)",
    "lead": "lag(x, n); rows after the current one are not visible",
    "mean": "avg(x)",
    "nth_value": "nth_value_where(x, n, true)",
    "percentile": "median(x), the only quantile",
    "row_number": "count(*) OVER a window, the row's number in its frame",
    "string_agg": "no aggregate joins texts; topn_frequency(x, n) lists the most frequent ones",
    "sum_if": "sum_where(x, condition)",
    "uniq": "distinct_count(x)",
}
"""By name in lower case: what to write instead."""

_NAMES = """
abs acos add_months array_contains array_join asin at atan atan2 avg avg_cate  avg_cate_where
avg_where bigint bool ceil ceiling char char_length character_length  concat concat_ws cos cot
count count_cate count_cate_where count_where date date_format  datediff day dayofmonth dayofweek
dayofyear degrees distinct_count double drawdown  earth_distance entropy ew_avg exp
farm_fingerprint first_value float floor  get_json_object hash64 hex hour identity if_null ifnull
ilike_match inc int int16 int32  int64 is_null isnull join json_array_length lag last_day
last_value lcase like_match  list_except_by_key list_except_by_value ln locate log log10 log2
lower map map_keys max  max_cate max_cate_where max_where maximum median min min_cate
min_cate_where min_where  minimum minute month nth_value_where nvl nvl2 pmod pow power radians
regexp_like replace  reverse round second sin size smallint split split_array split_by_key
split_by_value  sqrt std stddev stddev_pop stddev_samp strcmp string substr substring sum sum_cate
sum_cate_where sum_where tan timestamp top top1_ratio top_n_key_avg_cate_where
top_n_key_count_cate_where top_n_key_max_cate_where top_n_key_min_cate_where  top_n_key_ratio_cate
top_n_key_sum_cate_where top_n_value_avg_cate_where  top_n_value_count_cate_where
top_n_value_max_cate_where top_n_value_min_cate_where  top_n_value_ratio_cate
top_n_value_sum_cate_where topn_frequency truncate ucase unhex  unix_timestamp upper var_pop
var_samp variance week weekofyear window_split  window_split_by_key window_split_by_value year
"""
FUNCTIONS = frozenset(_NAMES.split())
"""The functions that a query may call, to find what a misspelt one means."""
