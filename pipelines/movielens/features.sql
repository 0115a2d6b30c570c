-- One row a request: what is known of viewer and film at the moment before the rating. This one
-- query is run offline over history and deployed online.
--
-- The windows end a second before the request: a viewer rates many films in one second, and none of
-- those ratings may tell of another one.
SELECT * FROM
(
    -- The request, its label, the viewer and the film, one row each.
    SELECT
        `impression`.`rating_id` AS request_id,
        `impression`.`at` AS request_time,
        `impression`.`user_id` AS user_id,
        `impression`.`item_id` AS item_id,
        hour(`impression`.`at`) AS request_hour,
        dayofweek(`impression`.`at`) AS request_weekday,
        CASE WHEN isnull(`rating`.`stars`) THEN NULL
             WHEN `rating`.`stars` >= 4 THEN 1 ELSE 0 END AS liked,
        `viewer`.`age` AS user_age,
        `viewer`.`gender` AS user_gender,
        `viewer`.`occupation` AS user_occupation,
        substr(`viewer`.`zip_code`, 1, 2) AS user_region,
        `film`.`release_year` AS item_year,
        `film`.`genres` AS item_genres
    FROM `impression`
    LAST JOIN `rating` ON `impression`.`rating_id` = `rating`.`rating_id`
    LAST JOIN `viewer` ON `impression`.`user_id` = `viewer`.`user_id`
    LAST JOIN `film` ON `impression`.`item_id` = `film`.`item_id`
) AS request
LAST JOIN
(
    -- What the viewer rated before.
    SELECT
        `rating_id` AS user_request_id,
        count(`liked`) OVER user_30d AS user_ratings_30d,
        avg(`liked`) OVER user_30d AS user_liked_share_30d,
        avg(`stars`) OVER user_30d AS user_stars_avg_30d
    FROM (
        SELECT `user_id`, `item_id`, `at`, int(0) AS `stars`, int(0) AS `liked`, `rating_id`
        FROM `impression`
    )
    WINDOW
        user_30d AS (
            UNION (SELECT `user_id`, `item_id`, `at`, `stars`, `liked`, '' AS `rating_id`
                   FROM `history`)
            PARTITION BY `user_id` ORDER BY `at`
            ROWS_RANGE BETWEEN 30d PRECEDING AND 1s PRECEDING MAXSIZE 1000
            INSTANCE_NOT_IN_WINDOW)
) AS viewed
ON request.request_id = viewed.user_request_id
LAST JOIN
(
    -- What others said of the film before.
    SELECT
        `rating_id` AS item_request_id,
        count(`liked`) OVER item_30d AS item_ratings_30d,
        avg(`liked`) OVER item_30d AS item_liked_share_30d,
        avg(`stars`) OVER item_30d AS item_stars_avg_30d
    FROM (
        SELECT `user_id`, `item_id`, `at`, int(0) AS `stars`, int(0) AS `liked`, `rating_id`
        FROM `impression`
    )
    WINDOW
        item_30d AS (
            UNION (SELECT `user_id`, `item_id`, `at`, `stars`, `liked`, '' AS `rating_id`
                   FROM `history`)
            PARTITION BY `item_id` ORDER BY `at`
            ROWS_RANGE BETWEEN 30d PRECEDING AND 1s PRECEDING MAXSIZE 1000
            INSTANCE_NOT_IN_WINDOW)
) AS seen
ON request.request_id = seen.item_request_id;
