-- projection: bench_accounts_by_set
-- version: 1
-- category: account

CREATE TABLE bench_accounts_by_set (
    account TEXT PRIMARY KEY,
    events  BIGINT NOT NULL,
    amount  BIGINT NOT NULL,
    last_at TEXT NOT NULL
);

-- on batch:
INSERT INTO bench_accounts_by_set (account, events, amount, last_at)
SELECT stream, count(*), sum(CAST(data ->> 'amount' AS BIGINT)), max(CAST(recorded_at AS TEXT))
FROM batch WHERE true GROUP BY stream
ON CONFLICT (account) DO UPDATE
SET events = bench_accounts_by_set.events + excluded.events,
    amount = bench_accounts_by_set.amount + excluded.amount,
    last_at = excluded.last_at;
