-- One row a request: Criteo's columns as they are, and the label. There is no window: the data has
-- neither users nor times.
SELECT
    `impression`.`request_id` AS request_id,
    `impression`.`at` AS request_time,
    `click`.`clicked` AS clicked,
    `impression`.`i1` AS i1, `impression`.`i2` AS i2, `impression`.`i3` AS i3,
    `impression`.`i4` AS i4, `impression`.`i5` AS i5, `impression`.`i6` AS i6,
    `impression`.`i7` AS i7, `impression`.`i8` AS i8, `impression`.`i9` AS i9,
    `impression`.`i10` AS i10, `impression`.`i11` AS i11, `impression`.`i12` AS i12,
    `impression`.`i13` AS i13, `impression`.`c1` AS c1, `impression`.`c2` AS c2,
    `impression`.`c3` AS c3, `impression`.`c4` AS c4, `impression`.`c5` AS c5,
    `impression`.`c6` AS c6, `impression`.`c7` AS c7, `impression`.`c8` AS c8,
    `impression`.`c9` AS c9, `impression`.`c10` AS c10, `impression`.`c11` AS c11,
    `impression`.`c12` AS c12, `impression`.`c13` AS c13, `impression`.`c14` AS c14,
    `impression`.`c15` AS c15, `impression`.`c16` AS c16, `impression`.`c17` AS c17,
    `impression`.`c18` AS c18, `impression`.`c19` AS c19, `impression`.`c20` AS c20,
    `impression`.`c21` AS c21, `impression`.`c22` AS c22, `impression`.`c23` AS c23,
    `impression`.`c24` AS c24, `impression`.`c25` AS c25, `impression`.`c26` AS c26
FROM `impression`
LAST JOIN `click` ON `impression`.`request_id` = `click`.`request_id`;
