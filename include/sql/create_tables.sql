-- The six tables of the JD tutorial, same names and types. The indexes are the ones that the
-- feature query needs, declared here so that DEPLOY finds them and moves no data.
-- ttl=0m never expires: event times of a backfill may be years old.

CREATE TABLE IF NOT EXISTS flattenRequest(
    reqId string, eventTime timestamp, main_id string, pair_id string, user_id string,
    sku_id string, time bigint, split_id int, time1 string,
    INDEX(key=user_id, ts=eventTime, ttl=0m, ttl_type=absolute)
);

CREATE TABLE IF NOT EXISTS action(
    reqId string, eventTime timestamp, ingestionTime timestamp, actionValue int,
    INDEX(key=reqId, ts=eventTime, ttl=0m, ttl_type=absolute)
);

CREATE TABLE IF NOT EXISTS bo_action(
    ingestionTime timestamp, pair_id string, time bigint, model_id string, type string,
    cate string, br string,
    INDEX(key=pair_id, ts=ingestionTime, ttl=0m, ttl_type=absolute)
);

CREATE TABLE IF NOT EXISTS bo_comment(
    ingestionTime timestamp, dt bigint, sku_id string, comment_num int, has_bad_comment string,
    bad_comment_rate float,
    INDEX(key=sku_id, ts=ingestionTime, ttl=0m, ttl_type=absolute)
);

-- Snapshots: one row a key counts, the newest.
CREATE TABLE IF NOT EXISTS bo_user(
    ingestionTime timestamp, user_id string, age string, sex string, user_lv_cd string,
    user_reg_tm bigint,
    INDEX(key=user_id, ts=ingestionTime, ttl=1, ttl_type=latest)
);

CREATE TABLE IF NOT EXISTS bo_product(
    ingestionTime timestamp, sku_id string, a1 string, a2 string, a3 string, cate string,
    br string,
    INDEX(key=sku_id, ts=ingestionTime, ttl=1, ttl_type=latest)
);
