-- projection: bench_totals
-- version: 1
-- category: account

CREATE TABLE bench_totals (
    type   TEXT NOT NULL,
    day    TEXT NOT NULL,
    events BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (type, day)
);

-- on batch:
INSERT INTO bench_totals (type, day, events, amount)
SELECT type, substr(CAST(occurred_at AS TEXT), 1, 10), count(*), sum(CAST(data ->> 'amount' AS BIGINT))
FROM batch WHERE true GROUP BY 1, 2
ON CONFLICT (type, day) DO UPDATE
SET events = bench_totals.events + excluded.events, amount = bench_totals.amount + excluded.amount;
