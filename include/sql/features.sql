-- One row a request: what is known of the user, the product and the pair at the moment of the
-- request. This one query is run offline over history and deployed online.
--
-- A name says what a column is: <whose>_<what>_<aggregate>_<window>; 10rows is the current row
-- and ten before it, 14d the last fourteen days, 10h the last ten hours. Each part keeps the
-- request's id as the key it is joined by.
SELECT * FROM
(
    -- The request and the user's own requests before it.
    SELECT
        `reqId` AS request_id,
        `eventTime` AS request_time,
        `reqId` AS request_id_original,
        `pair_id` AS pair_id,
        `sku_id` AS sku_id,
        `user_id` AS user_id,
        distinct_count(`pair_id`) OVER last_10_requests AS user_pair_distinct_10rows,
        top1_ratio(`pair_id`) OVER last_10_requests AS user_pair_top1_ratio_10rows,
        top1_ratio(`pair_id`) OVER last_14_days AS user_pair_top1_ratio_14d,
        distinct_count(`pair_id`) OVER last_14_days AS user_pair_distinct_14d,
        CASE WHEN !isnull(at(`pair_id`, 0)) OVER last_10_requests
             THEN count_where(`pair_id`, `pair_id` = at(`pair_id`, 0)) OVER last_10_requests
             ELSE null END AS user_same_pair_count_10rows,
        dayofweek(timestamp(`eventTime`)) AS request_dayofweek,
        CASE WHEN 1 < dayofweek(timestamp(`eventTime`)) AND dayofweek(timestamp(`eventTime`)) < 7
             THEN 1 ELSE 0 END AS request_is_weekday
    FROM `flattenRequest`
    WINDOW
        last_10_requests AS (
            PARTITION BY `user_id` ORDER BY `eventTime`
            ROWS BETWEEN 10 PRECEDING AND 0 PRECEDING),
        last_14_days AS (
            PARTITION BY `user_id` ORDER BY `eventTime`
            ROWS_RANGE BETWEEN 14d PRECEDING AND 0s PRECEDING MAXSIZE 200)
) AS request
LAST JOIN
(
    -- The label, the product and the user, one row each.
    SELECT
        `flattenRequest`.`reqId` AS profile_request_id,
        `label`.`actionValue` AS action_value,
        `product`.`a1` AS product_a1,
        `product`.`a2` AS product_a2,
        `product`.`a3` AS product_a3,
        `product`.`br` AS product_brand,
        `product`.`cate` AS product_category,
        `product`.`ingestionTime` AS product_ingestion_time,
        `user`.`age` AS user_age,
        `user`.`ingestionTime` AS user_ingestion_time,
        `user`.`sex` AS user_sex,
        `user`.`user_lv_cd` AS user_level
    FROM `flattenRequest`
    LAST JOIN `action` AS `label` ON `flattenRequest`.`reqId` = `label`.`reqId`
    LAST JOIN `bo_product` AS `product` ON `flattenRequest`.`sku_id` = `product`.`sku_id`
    LAST JOIN `bo_user` AS `user` ON `flattenRequest`.`user_id` = `user`.`user_id`
) AS profile
ON request.request_id = profile.profile_request_id
LAST JOIN
(
    -- Comments on the product. The request joins the window as an empty comment of its own
    -- time, which counts; other requests do not (INSTANCE_NOT_IN_WINDOW).
    SELECT
        `reqId` AS comment_request_id,
        max(`bad_comment_rate`) OVER last_64_days AS product_bad_comment_rate_max_64d,
        min(`bad_comment_rate`) OVER last_10_comments AS product_bad_comment_rate_min_10rows,
        min(`bad_comment_rate`) OVER last_64_days AS product_bad_comment_rate_min_64d,
        distinct_count(`comment_num`) OVER last_64_days AS product_comment_num_distinct_64d,
        distinct_count(`has_bad_comment`) OVER last_64_days
            AS product_has_bad_comment_distinct_64d,
        topn_frequency(`has_bad_comment`, 3) OVER last_64_days
            AS product_has_bad_comment_top3_64d,
        topn_frequency(`comment_num`, 3) OVER last_64_days AS product_comment_num_top3_64d
    FROM (
        SELECT `eventTime` AS `ingestionTime`, bigint(0) AS `dt`, `sku_id` AS `sku_id`,
               int(0) AS `comment_num`, '' AS `has_bad_comment`,
               float(0) AS `bad_comment_rate`, reqId
        FROM `flattenRequest`
    )
    WINDOW
        last_64_days AS (
            UNION (SELECT `ingestionTime`, `dt`, `sku_id`, `comment_num`, `has_bad_comment`,
                          `bad_comment_rate`, '' AS reqId FROM `bo_comment`)
            PARTITION BY `sku_id` ORDER BY `ingestionTime`
            ROWS_RANGE BETWEEN 64d PRECEDING AND 0s PRECEDING MAXSIZE 100
            INSTANCE_NOT_IN_WINDOW),
        last_10_comments AS (
            UNION (SELECT `ingestionTime`, `dt`, `sku_id`, `comment_num`, `has_bad_comment`,
                          `bad_comment_rate`, '' AS reqId FROM `bo_comment`)
            PARTITION BY `sku_id` ORDER BY `ingestionTime`
            ROWS BETWEEN 10 PRECEDING AND 0 PRECEDING
            INSTANCE_NOT_IN_WINDOW)
) AS comment
ON request.request_id = comment.comment_request_id
LAST JOIN
(
    -- What this user did with this product (the pair) lately.
    SELECT
        `reqId` AS action_request_id,
        topn_frequency(`br`, 3) OVER last_10_hours AS pair_brand_top3_10h,
        topn_frequency(`cate`, 3) OVER last_10_hours AS pair_category_top3_10h,
        topn_frequency(`model_id`, 3) OVER last_7_days AS pair_model_top3_7d,
        distinct_count(`model_id`) OVER last_14_days AS pair_model_distinct_14d,
        distinct_count(`model_id`) OVER last_7_days AS pair_model_distinct_7d,
        distinct_count(`type`) OVER last_14_days AS pair_type_distinct_14d,
        topn_frequency(`type`, 3) OVER last_7_days AS pair_type_top3_7d,
        topn_frequency(`type`, 3) OVER last_14_days AS pair_type_top3_14d
    FROM (
        SELECT `eventTime` AS `ingestionTime`, `pair_id` AS `pair_id`, bigint(0) AS `time`,
               '' AS `model_id`, '' AS `type`, '' AS `cate`, '' AS `br`, reqId
        FROM `flattenRequest`
    )
    WINDOW
        last_10_hours AS (
            UNION (SELECT `ingestionTime`, `pair_id`, `time`, `model_id`, `type`, `cate`, `br`,
                          '' AS reqId FROM `bo_action`)
            PARTITION BY `pair_id` ORDER BY `ingestionTime`
            ROWS_RANGE BETWEEN 10h PRECEDING AND 0s PRECEDING MAXSIZE 100
            INSTANCE_NOT_IN_WINDOW),
        last_7_days AS (
            UNION (SELECT `ingestionTime`, `pair_id`, `time`, `model_id`, `type`, `cate`, `br`,
                          '' AS reqId FROM `bo_action`)
            PARTITION BY `pair_id` ORDER BY `ingestionTime`
            ROWS_RANGE BETWEEN 7d PRECEDING AND 0s PRECEDING MAXSIZE 100
            INSTANCE_NOT_IN_WINDOW),
        last_14_days AS (
            UNION (SELECT `ingestionTime`, `pair_id`, `time`, `model_id`, `type`, `cate`, `br`,
                          '' AS reqId FROM `bo_action`)
            PARTITION BY `pair_id` ORDER BY `ingestionTime`
            ROWS_RANGE BETWEEN 14d PRECEDING AND 0s PRECEDING MAXSIZE 100
            INSTANCE_NOT_IN_WINDOW)
) AS behaviour
ON request.request_id = behaviour.action_request_id
