-- projection: bench_accounts
-- version: 1
-- category: account

CREATE TABLE bench_accounts (
    account TEXT PRIMARY KEY,
    events  BIGINT NOT NULL,
    amount  BIGINT NOT NULL,
    last_at TEXT NOT NULL
);

-- on: *
INSERT INTO bench_accounts (account, events, amount, last_at) VALUES (:stream, 1, :data.amount, :recorded_at)
ON CONFLICT (account) DO UPDATE
SET events = bench_accounts.events + 1, amount = bench_accounts.amount + excluded.amount, last_at = excluded.last_at;
