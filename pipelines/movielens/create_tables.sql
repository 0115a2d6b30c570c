-- The source tables: names and types of the files. The indexes are the ones that the feature query
-- needs, declared here so that DEPLOY finds them and moves no data. ttl=0m never expires: these
-- times are of 1997 and 1998.

CREATE TABLE IF NOT EXISTS impression(
    rating_id string, user_id string, item_id string, at timestamp,
    INDEX(key=rating_id, ts=at, ttl=0m, ttl_type=absolute)
);

CREATE TABLE IF NOT EXISTS rating(
    rating_id string, at timestamp, stars int,
    INDEX(key=rating_id, ts=at, ttl=0m, ttl_type=absolute)
);

CREATE TABLE IF NOT EXISTS history(
    user_id string, item_id string, at timestamp, stars int, liked int,
    INDEX(key=user_id, ts=at, ttl=0m, ttl_type=absolute),
    INDEX(key=item_id, ts=at, ttl=0m, ttl_type=absolute)
);

-- Snapshots: one row a key counts, the newest.
CREATE TABLE IF NOT EXISTS viewer(
    user_id string, age int, gender string, occupation string, zip_code string,
    INDEX(key=user_id, ttl=1, ttl_type=latest)
);

CREATE TABLE IF NOT EXISTS film(
    item_id string, title string, release_year int, genres string,
    INDEX(key=item_id, ttl=1, ttl_type=latest)
);
