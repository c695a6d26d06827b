-- projection: limits
-- version: 1
-- mode: sync
-- category: account

CREATE TABLE limits (
    account TEXT PRIMARY KEY,
    balance BIGINT NOT NULL CHECK (balance >= -200),
    events BIGINT NOT NULL,
    last_version BIGINT NOT NULL
);

-- on: MoneyDeposited, MoneyWithdrawn
INSERT INTO limits (account, balance, events, last_version)
VALUES (:stream, CAST(:data.amount AS BIGINT), 1, :version)
ON CONFLICT (account) DO UPDATE
SET balance = limits.balance + excluded.balance, events = limits.events + 1, last_version = excluded.last_version;
