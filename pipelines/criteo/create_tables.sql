-- The source tables: names and types of the files. i1 to i13 are Criteo's integers (doubles, since
-- PaddleRec's text has them scaled), c1 to c26 its categories.

CREATE TABLE IF NOT EXISTS impression(
    request_id bigint, at timestamp,
    i1 double, i2 double, i3 double, i4 double, i5 double, i6 double, i7 double, i8 double,
    i9 double, i10 double, i11 double, i12 double, i13 double,
    c1 string, c2 string, c3 string, c4 string, c5 string, c6 string, c7 string, c8 string,
    c9 string, c10 string, c11 string, c12 string, c13 string, c14 string, c15 string,
    c16 string, c17 string, c18 string, c19 string, c20 string, c21 string, c22 string,
    c23 string, c24 string, c25 string, c26 string,
    INDEX(key=request_id, ts=at, ttl=0m, ttl_type=absolute)
);

CREATE TABLE IF NOT EXISTS click(
    request_id bigint, at timestamp, clicked int,
    INDEX(key=request_id, ts=at, ttl=0m, ttl_type=absolute)
);
