-- projection: bench_accounts_sync
-- version: 1
-- mode: sync
-- category: account

CREATE TABLE bench_accounts_sync (
    account TEXT PRIMARY KEY,
    events  BIGINT NOT NULL,
    amount  BIGINT NOT NULL
);

-- on: *
INSERT INTO bench_accounts_sync (account, events, amount) VALUES (:stream, 1, :data.amount)
ON CONFLICT (account) DO UPDATE
SET events = bench_accounts_sync.events + 1, amount = bench_accounts_sync.amount + excluded.amount;
