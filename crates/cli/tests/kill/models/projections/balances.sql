-- projection: balances
-- version: 1
-- category: account
-- keep-copies: every 300 events

CREATE TABLE balances (
    account TEXT PRIMARY KEY,
    balance BIGINT NOT NULL,
    events BIGINT NOT NULL,
    last_version BIGINT NOT NULL,
    trail BIGINT NOT NULL
);

-- The trail depends on each event and on their order.
-- on: MoneyDeposited, MoneyWithdrawn
INSERT INTO balances (account, balance, events, last_version, trail)
VALUES (:stream, CAST(:data.amount AS BIGINT), 1, :version, :position)
ON CONFLICT (account) DO UPDATE
SET balance = balances.balance + excluded.balance, events = balances.events + 1,
    last_version = excluded.last_version, trail = (balances.trail * 31 + excluded.trail) % 1000000007;
